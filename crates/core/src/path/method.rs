//! Methods of requests.

/// A method, as a small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method(u8);

/// The methods that have a number, which is their place. Images hold these numbers: add at the end, and leave room for
/// [`Method::OTHER`].
const NAMES: [&str; 30] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "QUERY",
    "ACL",
    "CHECKOUT",
    "COPY",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNLOCK",
    "UNSUBSCRIBE",
];

impl Method {
    /// GET.
    pub const GET: Self = Self(0);
    /// HEAD.
    pub const HEAD: Self = Self(1);
    /// Any method that has no number of its own.
    pub const OTHER: Self = Self(31);

    /// The method that a request names, in any case: routers compare it without.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::GET,
            b"POST" => Self(2),
            _ => Self::find(name).unwrap_or(Self::OTHER),
        }
    }

    /// The method that a rule names, in any case. `None` if it has no number, and so cannot be told from others.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::find(name.as_bytes())
    }

    /// The methods that a rule may name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// The number, below 32.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// The method with this number, or [`Method::OTHER`].
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        if usize::from(code) < NAMES.len() { Self(code) } else { Self::OTHER }
    }

    fn find(name: &[u8]) -> Option<Self> {
        let place = NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok().map(Self)
    }
}

/// A set of methods, as bits by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Methods(pub u32);

impl Methods {
    /// Every method.
    pub const ALL: Self = Self(u32::MAX);

    /// The set with a method. GET brings HEAD, because routers answer HEAD with the route for GET.
    #[must_use]
    pub fn with(self, method: Method) -> Self {
        let added = 1 << method.0;
        Self(if method == Method::GET { self.0 | added | 1 << Method::HEAD.0 } else { self.0 | added })
    }

    /// Whether a request with the method is in the set.
    #[inline]
    #[must_use]
    pub fn contains(self, method: Method) -> bool {
        self.0 >> method.0 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_counts_head_and_head_does_not_count_get() {
        let get = Methods::default().with(Method::GET);
        assert!(
            get.contains(Method::GET) && get.contains(Method::HEAD) && !get.contains(Method::of(b"POST"))
        );
        let head = Methods::default().with(Method::HEAD);
        assert!(head.contains(Method::HEAD) && !head.contains(Method::GET));
    }

    #[test]
    fn a_method_without_a_number_is_in_no_set_but_that_of_all() {
        for name in [&b"BREW"[..], b"", b"LINK"] {
            assert_eq!(Method::of(name), Method::OTHER);
        }
        assert!(Methods::ALL.contains(Method::OTHER));
        let named = Method::names().filter_map(Method::named).fold(Methods::default(), Methods::with);
        assert!(!named.contains(Method::OTHER));
    }

    #[test]
    fn every_name_is_found_in_any_case_and_by_its_number() {
        for name in Method::names() {
            let method = Method::of(name.as_bytes());
            assert_eq!(Method::named(&name.to_lowercase()), Some(method), "{name}");
            assert_eq!(Method::from_code(method.code()), method);
        }
        assert_eq!(Method::named("BREW"), None);
        assert_eq!(Method::from_code(30), Method::OTHER);
    }
}
