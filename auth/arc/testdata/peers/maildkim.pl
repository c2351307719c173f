use strict;
use warnings;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;

my ($folder) = @ARGV;
my %zone;
open my $z, '<', "$folder/zone" or die $!;
while (<$z>) { chomp; my ($name, $text) = split / /, $_, 2; $zone{$name} = $text }

package Answer;
sub type { 'TXT' }
sub char_str_list { ($_[0]{text}) }
sub txtdata { $_[0]{text} }

package main;
no warnings 'redefine';
*Mail::DKIM::DNS::query = sub {
	my ($name) = @_;
	$name =~ s/\.$//;
	return unless exists $zone{$name};
	return bless { text => $zone{$name} }, 'Answer';
};
for my $path (sort glob "$folder/*.eml") {
	my $v = Mail::DKIM::ARC::Verifier->new;
	open my $in, '<:raw', $path or die $!;
	local $/;
	$v->PRINT(<$in>);
	$v->CLOSE;
	my ($name) = $path =~ m{([^/]+)\.eml$};
	print "$name ", $v->result, ' ', $v->result_detail, "\n";
}
