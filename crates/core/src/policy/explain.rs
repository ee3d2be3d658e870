//! In words, what an image says of a request.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::entries::{Entry, Verdict};
use super::fault::shown;
use super::image::Image;
use super::name::NameHash;
use super::terms::{Part, Rule};
use crate::limit::{Algorithm, Grant};
use crate::path::{Groups, Method, Methods};
use crate::window::Window;

/// A request, as far as policies look at it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose it is, if that is known.
    pub tenant: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its path, with or without a query.
    pub path: &'a str,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
    /// Tokens that it takes, where a rule does not say otherwise.
    pub cost: u64,
}

/// What is wrong between a rule and a request that it is not for.
enum Mismatch<'a> {
    Method(Methods),
    Path(&'a [Box<str>]),
    Tier,
    Tenant,
}

impl Image {
    /// Says in words what becomes of a request and why: whose it is, which rules it is charged to, which test each other
    /// rule fails, and what denies it. `left` says how much an entry's bucket has left for it; with `None` for all, what is
    /// explained is what the request is charged to.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>, left: impl Fn(u32) -> Option<u64>) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = self.explain_to(&mut out, request, &left);
        out
    }

    fn explain_to(
        &self,
        out: &mut String,
        request: &Request<'_>,
        left: &impl Fn(u32) -> Option<u64>,
    ) -> fmt::Result {
        let row = request.tenant.and_then(|tenant| self.tenant(&NameHash::of(tenant.as_bytes())));
        let index = row.map_or(Self::DEFAULT, |row| row.entry);
        let Some(entry) = self.entry(index) else { return Ok(()) };
        self.write_tenant(out, request, entry, row.is_some())?;
        let address = request.address.and_then(|address| self.listed(address));
        for (verdict, outcome) in
            [(Verdict::Deny, "denied"), (Verdict::Allow, "admitted, and charged nothing")]
        {
            if address == Some(verdict) {
                return writeln!(out, "{outcome}: the address is on the {} list", list_name(verdict));
            }
            if entry.verdict == verdict {
                return writeln!(out, "{outcome}: the tenant is on the {} list", list_name(verdict));
            }
        }
        if self.refuses_unknown() && request.tenant.is_some() && row.is_none() {
            return writeln!(
                out,
                "denied: the policy does not name the tenant, and refuses whom it does not name"
            );
        }
        let mut denials = Vec::new();
        write!(out, "quota: {}", Declared(entry.declared))?;
        write_left(out, left(index), request.cost, entry.declared, || denials.push("the quota".to_owned()))?;
        let groups = self.path_groups(request.path.as_bytes());
        for rule in self.rules() {
            write!(out, "rule {}: ", rule.name)?;
            if let Some(mismatch) = self.mismatch(rule, request, entry, &groups) {
                self.write_mismatch(out, &mismatch, rule)?;
                continue;
            }
            if rule.declared == Grant::Unlimited {
                writeln!(out, "matches, and limits nothing")?;
                continue;
            }
            let parts = rule.per.iter().map(|part| self.part_name(*part)).collect::<Vec<_>>().join(", ");
            write!(out, "charged: {} per {parts}", Declared(rule.declared))?;
            if rule.shadow {
                write!(out, ", in shadow, so it never denies")?;
            }
            let deny = || denials.extend((!rule.shadow).then(|| format!("rule {}", rule.name)));
            write_left(out, left(rule.entry), cost_of(rule, request.cost), rule.declared, deny)?;
        }
        if denials.is_empty() {
            writeln!(out, "admitted, as far as is known")
        } else {
            writeln!(out, "denied by {}", denials.join(" and "))
        }
    }

    fn write_tenant(
        &self,
        out: &mut String,
        request: &Request<'_>,
        entry: &Entry,
        is_known: bool,
    ) -> fmt::Result {
        let Some(tenant) = request.tenant else { return writeln!(out, "no tenant: the default quota") };
        write!(out, "tenant {}: ", shown(&format!("{tenant:?}")))?;
        match (is_known, entry.named, self.tier_of(entry)) {
            (false, ..) => writeln!(out, "not named by the policy: the default quota"),
            (true, false, _) => writeln!(out, "named in lists only: the default quota"),
            (true, true, None) => writeln!(out, "named by the policy, without a tier"),
            (true, true, Some(tier)) => writeln!(out, "named by the policy, tier {}", tier.name),
        }
    }

    /// The first test that a request fails, if it is not one for this rule.
    fn mismatch(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        entry: &Entry,
        groups: &Groups,
    ) -> Option<Mismatch<'_>> {
        let matches = &rule.matches;
        let profile = self.profiles.get(usize::from(entry.profile)).copied().unwrap_or_default();
        let methods = Methods(matches.methods);
        if methods != Methods::default() && !methods.contains(Method::of(request.method.as_bytes())) {
            return Some(Mismatch::Method(methods));
        }
        if let Some(group) = matches.group.filter(|group| !groups.contains(u16::from(*group))) {
            return Some(Mismatch::Path(
                self.terms.groups.get(usize::from(group)).map_or(&[], |group| group),
            ));
        }
        if !matches.tiers.is_empty() && !profile.tier.is_some_and(|tier| matches.tiers.contains(&tier)) {
            return Some(Mismatch::Tier);
        }
        let listed = matches.list.is_none_or(|list| profile.lists >> (list & 63) & 1 != 0);
        (!listed).then_some(Mismatch::Tenant)
    }

    fn write_mismatch(&self, out: &mut String, mismatch: &Mismatch<'_>, rule: &Rule) -> fmt::Result {
        write!(out, "not charged: ")?;
        match mismatch {
            Mismatch::Method(methods) => {
                let is_among =
                    |name: &&str| Method::named(name).is_some_and(|method| methods.contains(method));
                let accepted: Vec<&str> = Method::names().filter(is_among).collect();
                writeln!(out, "the method is not {}", accepted.join(" or "))
            }
            Mismatch::Path(patterns) => writeln!(out, "the path matches none of {}", patterns.join(" , ")),
            Mismatch::Tier => {
                let tiers = rule.matches.tiers.iter().filter_map(|tier| self.tiers().get(usize::from(*tier)));
                let names: Vec<&str> = tiers.map(|tier| &*tier.name).collect();
                writeln!(out, "the tenant's tier is not {}", names.join(" or "))
            }
            Mismatch::Tenant => writeln!(out, "it is not for this tenant"),
        }
    }

    fn part_name(&self, part: Part) -> &str {
        match part {
            Part::Tenant => "tenant",
            Part::Address => "ip",
            Part::User => "user",
            Part::Named(key) => self.key_names().get(usize::from(key)).map_or("", |name| name),
        }
    }
}

/// What a request takes of a rule: of requests in flight, one.
fn cost_of(rule: &Rule, cost: u64) -> u64 {
    let own = if matches!(rule.declared, Grant::Concurrency { .. }) { 1 } else { cost };
    rule.cost.unwrap_or(own)
}

const fn list_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Limits => "",
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

/// Ends a line with what is left; calls `deny` if that is too little.
fn write_left(
    out: &mut String,
    left: Option<u64>,
    cost: u64,
    declared: Grant,
    deny: impl FnOnce(),
) -> fmt::Result {
    let nothing = matches!(declared, Grant::Tokens { quota: 0, .. });
    match left.or(nothing.then_some(0)) {
        Some(left) if left < cost || nothing => {
            deny();
            writeln!(out, "; {left} left, and the request takes {cost}: too little")
        }
        Some(left) => writeln!(out, "; {left} left, and the request takes {cost}"),
        None => writeln!(out),
    }
}

/// A limit in words.
struct Declared(Grant);

impl fmt::Display for Declared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Grant::Unlimited => out.write_str("unlimited"),
            Grant::Concurrency { most } => write!(out, "{most} in flight"),
            Grant::Tokens { algorithm, quota, burst, window } => {
                write!(out, "{quota} per ")?;
                match window {
                    Window::Month => out.write_str("calendar month")?,
                    Window::Span(span) if span.get() % 1_000_000_000 == 0 => {
                        write!(out, "{} s", span.get() / 1_000_000_000)?;
                    }
                    Window::Span(span) => write!(out, "{} ms", span.as_millis_ceil())?,
                }
                if burst > 0 {
                    write!(out, " and {burst} on top")?;
                }
                write!(out, " ({})", algorithm_name(algorithm))
            }
        }
    }
}

const fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::TokenBucket => "token-bucket",
        Algorithm::FixedWindow => "fixed-window",
        Algorithm::SlidingWindow => "sliding-window",
        Algorithm::Concurrency => "concurrency",
    }
}
