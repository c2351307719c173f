# Reads the mail of an aggregate report with Mail::DMARC, stores it, says what it
# has of it, and writes it again as XML.
use strict;
use warnings;
use Mail::DMARC::Report::Receive;

binmode STDOUT, ":encoding(UTF-8)";
my ($mail, $xml) = @ARGV;
my $receive = Mail::DMARC::Report::Receive->new;
print "type ", $receive->from_file($mail) // "none", "\n";
my $a = $receive->report->aggregate;
my $m = $a->metadata;
print join("|", "report", $m->org_name, $m->email, $m->extra_contact_info, $m->report_id, $m->begin, $m->end), "\n";
my $p = $a->policy_published;
print join("|", "policy", map { $_ . "=" . ($p->{$_} // "") } qw/domain adkim aspf p sp pct/), "\n";
for my $r (@{ $a->record }) {
    my $e = $r->row->policy_evaluated;
    print join("|", "row", $r->row->source_ip, $r->row->count, $e->disposition, $e->dkim, $e->spf,
        map({ $_ // "" } $r->identifiers->envelope_to, $r->identifiers->envelope_from, $r->identifiers->header_from),
        "reasons", map({ $_->{type} . " " . $_->{comment} } @{ $e->reason || [] }),
        "dkim", map({ "$_->{domain} $_->{selector} $_->{result}" } @{ $r->auth_results->dkim || [] }),
        "spf", map({ "$_->{domain} $_->{result}" } @{ $r->auth_results->spf || [] })), "\n";
}
open my $out, ">:encoding(UTF-8)", $xml or die $!;
print $out $a->as_xml;
close $out or die $!;
