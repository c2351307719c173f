use strict;
use warnings;
use Mail::DKIM::ARC::Signer;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;

my ($folder, $domain) = @ARGV;
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
	my ($name) = $path =~ m{([^/]+)\.eml$};
	open my $in, '<:raw', $path or die $!;
	my $message = do { local $/; <$in> };
	if (defined $domain) {
		my $s = Mail::DKIM::ARC::Signer->new(
			Algorithm => 'rsa-sha256', Chain => 'ar', Domain => $domain, SrvId => $domain, Selector => 's1', KeyFile => "$folder/key.pem",
		);
		$s->PRINT($message);
		$s->CLOSE;
		my @set = grep { length } $s->as_strings;
		print "$name ", @set == 3 ? 'sealed' : 'refused: ' . $s->result_detail, "\n";
		open my $out, '>:raw', "$folder/$name.sealed" or die $!;
		print $out map({ "$_\r\n" } @set), $message;
		next;
	}
	my $v = Mail::DKIM::ARC::Verifier->new;
	$v->PRINT($message);
	$v->CLOSE;
	print "$name ", $v->result, ' ', $v->result_detail, "\n";
}
