# Prints the URIs that SpamAssassin finds in the messages named on the lines of
# the file URLS_OF: path, host and text, with tabs between. The domains of
# signatures, which it counts among them, are left out. Nothing is asked of any
# network, and nothing is written outside the directory given.
use strict;
use warnings;
use Mail::SpamAssassin;
use Mail::SpamAssassin::PerMsgStatus;

my ($home, $suffixes) = @ARGV;
my $sa = Mail::SpamAssassin->new({
    rules_filename => $suffixes, site_rules_filename => "$home/none", userprefs_filename => "$home/none",
    home_dir_for_helpers => $home, userstate_dir => $home,
    local_tests_only => 1, dont_copy_prefs => 1,
});
$sa->init(0);
binmode STDOUT, ":raw";
open my $list, "<:raw", $ENV{URLS_OF} or die;
while (my $path = <$list>) {
    chomp $path;
    open my $in, "<:raw", $path or die "$path: $!";
    my $raw = do { local $/; <$in> };
    my $mail = $sa->parse($raw, 1);
    my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $mail);
    my $found = $status->get_uri_detail_list();
    for my $uri (sort keys %$found) {
        next if $found->{$uri}{types}{domainkeys};
        for my $host (sort keys %{ $found->{$uri}{hosts} || {} }) {
            my $line = join "\t", $path, $host, $uri =~ s/\s/ /gr;
            utf8::encode($line) if utf8::is_utf8($line);
            print "$line\n";
        }
    }
    $status->finish;
    $mail->finish;
}
print "done\n";
