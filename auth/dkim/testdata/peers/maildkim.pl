use strict;
use warnings;
use Mail::DKIM::Signer;
use Mail::DKIM::Verifier;
use Net::DNS;

my ( $mode, $folder, $header, $body, $domain, $selector ) = @ARGV;
my %zone;
open my $z, '<', "$folder/zone" or die;
while (<$z>) {
    chomp;
    my ( $name, $text ) = split / /, $_, 2;
    $zone{$name} = $text;
}
{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my $text = $zone{ $_[0] } or return;
        return Net::DNS::RR->new( owner => $_[0], type => 'TXT', txtdata => [ unpack '(A255)*', $text ] );
    };
}
for my $path ( sort glob "$folder/*.eml" ) {
    open my $f, '<:raw', $path or die;
    my $message = do { local $/; <$f> };
    my ($name) = $path =~ m{([^/]*)\.eml$};
    if ( $mode eq 'verify' ) {
        my $result = eval {
            my $v = Mail::DKIM::Verifier->new;
            $v->PRINT($message);
            $v->CLOSE;
            $v->result eq 'pass' ? 'pass' : $v->result_detail;
        };
        print "$name ", defined $result ? $result : "error: $@", "\n";
        next;
    }
    my $s = Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256',
        Method    => "$header/$body",
        Domain    => $domain,
        Selector  => $selector,
        KeyFile   => "$folder/key.pem",
    );
    $s->PRINT($message);
    $s->CLOSE;
    open my $out, '>:raw', "$folder/$name.signed" or die;
    print $out $s->signature->as_string, "\r\n", $message;
    close $out;
}
