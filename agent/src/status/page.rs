//! `/`: the page for people. Everything in it is escaped by the template; it needs nothing but itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::report::{DatabaseReport, EventReport, InstanceReport, Report, When};
use crate::human::{age, count, size, span, time};
use crate::report::{Ago, Basis, PeerContact, PeerLink, PeersReport};

/// The page loads itself anew after so many seconds.
const REFRESH: u32 = 5;
/// Most events shown; more are in `/status`.
const EVENTS: usize = 20;

const STYLE: &str = include_str!("page.css");
/// A drop of water in the browser's tab.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Cpath d='M8 1C5 5 3 7.5 3 10a5 5 0 0 0 10 0C13 7.5 11 5 8 1z' fill='%230b7285'/%3E%3C/svg%3E";

/// The whole page.
pub(super) fn render(report: &Report) -> Markup {
    let (mood, words) = mood(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content=(REFRESH);
                title { (words) " · " (report.instance) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { span.name { (report.instance) } " " span class={ "badge " (mood) } { (words) } }
                    p.quiet {
                        "zonetide-agent " (report.agent) ", running for " (age(report.started.0, report.time.0))
                        @if let Some(clock) = &report.store_clock { "; " (clock.text) }
                        @if let Some(key) = &report.store_key { "; store key " (key) }
                    }
                }
                main {
                    (serving(report))
                    (attention(report))
                    @for (name, database) in &report.databases {
                        (section(name, database, report.time))
                    }
                    @if let Some(peers) = &report.peers { (peers_section(peers)) }
                    (events("What failed", "Nothing has failed since the agent started.", report, |database| &database.troubles))
                    (events("What was loaded and stored", "Nothing yet.", report, |database| &database.work))
                }
                footer {
                    p.quiet { "As of " (moment(report.time, report.time, false)) ", anew every " (REFRESH) " s." }
                    nav aria-label="Other endpoints" {
                        @for path in ["/status", "/healthz", "/readyz", "/livez", "/metrics", "/storage"] {
                            a href=(path) { (path) } " "
                        }
                    }
                }
            }
        }
    }
}

/// The whole in a colour and a word or two.
fn mood(report: &Report) -> (&'static str, &'static str) {
    if !report.health.ok {
        ("bad", "failing")
    } else if !report.ready {
        ("warn", "starting")
    } else if !report.health.warnings.is_empty() {
        ("warn", "warning")
    } else if report
        .databases
        .values()
        .any(|database| !database.failing.is_empty())
    {
        ("warn", "trying again")
    } else {
        ("good", "well")
    }
}

/// By what the server answers, or what it waits for.
fn serving(report: &Report) -> Markup {
    let serving = &report.serving;
    let words = match serving.basis {
        Some(Basis::Bucket) => "It answers with all that the bucket knew at its start.",
        Some(Basis::Peers) => "The store has not answered: it answers with all that its peers know.",
        Some(Basis::OwnData) => {
            "Neither the store nor an up to date peer has answered: it answers from its own data."
        }
        None => "It must not be asked yet.",
    };
    html! {
        p.serving {
            (words)
            @if let Some(waits) = &serving.waits_for { " " (waits) "." }
            @if let Some(when) = serving.last_in_sync {
                " " span.quiet { "Last in sync " (moment(when, report.time, true)) "." }
            }
        }
    }
}

/// What wants attention now; nothing if all is well.
fn attention(report: &Report) -> Markup {
    let checks = [
        ("bad", "failing", &report.health.failures),
        ("warn", "warning", &report.health.warnings),
    ];
    let failing = || {
        report
            .databases
            .iter()
            .flat_map(|(name, database)| database.failing.values().map(move |failing| (name, failing)))
    };
    let quiet = checks.iter().all(|(_, _, found)| found.is_empty()) && failing().next().is_none();
    html! {
        @if !quiet {
            section.attention aria-labelledby="attention" {
                h2 #attention { "Wants attention" }
                ul {
                    @for (mood, word, found) in checks {
                        @for (check, text) in found {
                            li class=(mood) { span class={ "badge " (mood) } { (word) } " " code { (check) } " " (text) }
                        }
                    }
                    @if checks.iter().all(|(_, _, found)| found.is_empty()) {
                        @for (name, failing) in failing() {
                            li.warn {
                                span.badge.warn { "trying again" } " " (name) ": " (failing.last_error)
                                " (" (count(failing.failures)) " failures in " (failing.seconds) " s)"
                            }
                        }
                    }
                }
            }
        }
    }
}

fn section(name: &str, database: &DatabaseReport, now: When) -> Markup {
    let id = format!("database-{name}");
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) {
                (name) " "
                @if database.ready { span.badge.good { "ready" } } @else { span.badge.warn { "not ready" } }
                @if database.unsynced { " " span.badge.warn { "changes to store" } }
            }
            @if let Some(path) = &database.path { p.quiet { code { (path) } } }
            dl {
                (fact("Size", &size_of(database)))
                (fact("Entries", &html! { (number(database.entries)) }))
                (fact("Deletion marks", &html! { (number(database.marks)) }))
                (fact("Last stored", &html! {
                    @match &database.stored {
                        Some(stored) => { (moment(stored.time, now, true)) ", " (size(stored.bytes)) }
                        None => { "not since the start" }
                    }
                }))
                (fact("Transaction", &html! {
                    (count(database.last_txn))
                    @if database.unsynced { ", stored up to " (count(database.synced_txn)) } @else { ", all stored" }
                }))
            }
            @if database.instances.is_empty() {
                p.empty { "The store has no snapshots of it." }
            } @else {
                table {
                    caption { "Instances of " (name) }
                    thead { tr { th scope="col" { "Instance" } th scope="col" { "Last stored" } th scope="col" { "Here" } th scope="col" { "Lag" } } }
                    tbody { @for (name, instance) in &database.instances { (row(name, instance, now)) } }
                }
            }
            @if !database.corrupt.is_empty() {
                h3 { "Corrupt snapshots" }
                p.quiet { "They are ignored; the one before each counts." }
                ul.corrupt { @for (name, reason) in database.corrupt.iter().rev() { li { code { (name) } " " (reason) } } }
            }
        }
    }
}

/// The agents that are told changes, and those that tell theirs.
fn peers_section(peers: &PeersReport) -> Markup {
    let others = || peers.links.iter().filter(|link| link.standing != "own");
    let known = |instance: &str| others().any(|link| link.instance.as_deref() == Some(instance));
    let strangers = peers.contacts.iter().filter(|(instance, _)| !known(instance));
    let strangers: Vec<_> = strangers.collect();
    let refused: u64 = peers.refused.values().sum();
    html! {
        section aria-labelledby="peers" {
            h2 #peers { "Peers" }
            @if others().next().is_none() && strangers.is_empty() {
                p.empty { "There is no other agent to tell changes to." }
            } @else {
                table {
                    caption { "Peers" }
                    thead { tr { th scope="col" { "Peer" } th scope="col" { "Told" } th scope="col" { "Heard" } th scope="col" { "Answered" } } }
                    tbody {
                        @for link in others() {
                            (peer(link, link.instance.as_ref().and_then(|instance| peers.contacts.get(instance))))
                        }
                        @for (instance, contact) in strangers {
                            tr {
                                th scope="row" { span.name { (instance) } " " span.quiet { "not among the addresses" } }
                                td data-label="Told" { span.quiet { "–" } }
                                td data-label="Heard" { (heard(Some(contact))) }
                                td data-label="Answered" { span.quiet { "–" } }
                            }
                        }
                    }
                }
            }
            @if let Some(last) = &peers.last_refused {
                p.quiet {
                    "Refused " (count(refused)) " requests, the last one " (since(last.seconds)) " from "
                    code { (last.from) } ": " (last.reason) "."
                }
            }
        }
    }
}

fn peer(link: &PeerLink, contact: Option<&PeerContact>) -> Markup {
    html! {
        tr {
            th scope="row" {
                @if let Some(instance) = &link.instance { span.name { (instance) } " " }
                code { (link.address) }
            }
            td data-label="Told" {
                (count(link.told))
                @if link.queued > 0 { ", " (link.queued) " waiting" }
                @if link.dropped > 0 { ", " span.warn { (count(link.dropped)) " dropped" } }
            }
            td data-label="Heard" { (heard(contact)) }
            td data-label="Answered" {
                @match link.last_contact_seconds {
                    Some(seconds) => { (since(seconds)) }
                    None => { span.quiet { "never" } }
                }
                @if let Some(error) = &link.last_error { " " span.warn { (error) } }
            }
        }
    }
}

fn heard(contact: Option<&PeerContact>) -> Markup {
    html! {
        @match contact {
            Some(contact) => {
                span class=(if contact.in_contact { "good" } else { "warn" }) { (since(contact.last_heard_seconds)) }
                @if contact.received > 0 { ", " (count(contact.received)) " changes" }
            }
            None => { span.quiet { "never" } }
        }
    }
}

fn since(ago: Ago) -> String {
    match ago.0.as_secs() {
        0 => "now".to_owned(),
        _ => format!("{} ago", span(ago.0)),
    }
}

fn fact(term: &str, value: &Markup) -> Markup {
    html! { div { dt { (term) } dd { (value) } } }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "not counted yet".to_owned(), count)
}

fn size_of(database: &DatabaseReport) -> Markup {
    html! {
        @match (database.file_bytes, database.map_bytes) {
            (Some(file), Some(map)) => {
                (size(file)) " of " (size(map)) " "
                meter min="0" max=(map) high=(map / 10 * 8) optimum="0" value=(file) { (file * 100 / map.max(1)) " %" }
            }
            _ => { "not open yet" }
        }
    }
}

fn row(name: &str, instance: &InstanceReport, now: When) -> Markup {
    let behind = instance.merged_taken.filter(|_| !instance.up_to_date);
    html! {
        tr {
            th scope="row" { span.name { (name) } @if instance.own { " " span.badge { "this one" } } }
            td data-label="Last stored" { (moment(instance.newest, now, true)) }
            td data-label="Here" {
                @match (instance.up_to_date, instance.merged_at) {
                    (true, _) if instance.own => { span.good { "its own" } }
                    (true, Some(at)) => {
                        span.good { "merged" } " " (moment(at, now, true))
                        @if let Some(written) = instance.written.filter(|written| *written > 0) { ", " (count(written)) " new" }
                    }
                    (false, Some(at)) => { span.warn { "an older one" } ", merged " (moment(at, now, true)) }
                    (_, None) => { span.warn { "not yet" } }
                }
            }
            td data-label="Lag" {
                @match (behind, instance.delay_seconds) {
                    (Some(taken), _) => { span.warn { (age(taken.0, instance.newest.0)) " behind" } }
                    (None, Some(delay)) => { (format!("{delay:.1} s")) }
                    (None, None) => { span.quiet { "–" } }
                }
            }
        }
    }
}

/// A time with its age; the age alone where there is little room.
fn moment(at: When, now: When, ago: bool) -> Markup {
    let exact = time(at.0);
    html! {
        time datetime=[at.rfc3339()] title=(exact) { @if ago { (ago_of(at, now)) } @else { (exact) } }
    }
}

fn ago_of(at: When, now: When) -> String {
    let age = age(at.0, now.0);
    match (age.as_str(), at <= now) {
        ("0s", _) => "now".to_owned(),
        (_, true) => format!("{age} ago"),
        (_, false) => age,
    }
}

fn events(
    title: &str,
    nothing: &str,
    report: &Report,
    of: impl for<'d> Fn(&'d DatabaseReport) -> &'d Vec<EventReport>,
) -> Markup {
    let mut all: Vec<_> = report
        .databases
        .iter()
        .flat_map(|(name, database)| of(database).iter().map(move |event| (name, event)))
        .collect();
    all.sort_by_key(|(_, event)| std::cmp::Reverse(event.last));
    all.truncate(EVENTS);
    let id = title.to_lowercase().replace(' ', "-");
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            @if all.is_empty() { p.quiet { (nothing) } } @else {
                ol.events {
                    @for (database, event) in all {
                        li {
                            (moment(event.last, report.time, true)) " "
                            span class={ "badge " (kind_mood(event.kind)) } { (event.kind) } " "
                            span.what {
                                span.name { (database) }
                                @if matches!(event.kind, "failed" | "recovered" | "warning" | "over") { " " span.quiet { (event.step) } } " "
                                (event.text)
                                @if event.times > 1 {
                                    span.quiet { " (" (count(event.times)) " times in " (age(event.first.0, event.last.0)) ")" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kind_mood(kind: &str) -> &'static str {
    match kind {
        "failed" | "corrupt" => "bad",
        "warning" => "warn",
        "recovered" | "over" => "good",
        _ => "",
    }
}
