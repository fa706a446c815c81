//! Names of relations and types with a schema.
//!
//! Identifiers have no NUL, so NULs tell the parts of a name apart:
//!
//! | text | what |
//! |---|---|
//! | `name` | stored: in `public`. Written: to be looked for |
//! | `␀5␀name` | stored: in the schema whose id is 5 |
//! | `schema␀name` | written: with its schema |
//!
//! What users read goes through [`shown`].

use std::borrow::Cow;

/// The stored name of something in a schema.
pub fn stored_in(schema: u32, name: &str) -> String {
    format!("\0{schema}\0{name}")
}

/// A name as it was written with its schema.
pub fn written(schema: &str, name: &str) -> String {
    format!("{schema}\0{name}")
}

/// The schema and the name of a name that was written with its schema.
pub fn split_written(name: &str) -> Option<(&str, &str)> {
    name.split_once('\0').filter(|it| !it.0.is_empty())
}

/// The id of the schema of a stored name; `None`: it is in no user's schema.
pub fn schema_of(stored: &str) -> Option<u32> {
    stored.strip_prefix('\0')?.split_once('\0')?.0.parse().ok()
}

/// What a stored name begins with before the name itself.
pub fn prefix_of(stored: &str) -> &str {
    &stored[..stored.len() - last(stored).len()]
}

/// The name itself, without its schema.
pub fn last(name: &str) -> &str {
    match name.rsplit_once('\0') {
        Some((_, last)) => last,
        None if crate::catalog::is_temporary(name) => name.split_once('.').map_or(name, |it| it.1),
        None => name,
    }
}

/// A text with names in it, as users read it: stored ones without their schema, written ones with a dot.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\0') {
        shown.push_str(before);
        rest = after;
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if after[digits..].starts_with('\0') {
            rest = &after[digits + 1..];
        } else {
            shown.push('.');
        }
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let stored = stored_in(1005, "t");
        assert_eq!(
            (schema_of(&stored), last(&stored), prefix_of(&stored)),
            (Some(1005), "t", "\u{0}1005\u{0}")
        );
        assert_eq!((schema_of("t"), last("t"), prefix_of("t")), (None, "t", ""));
        assert_eq!((last("pg_temp_3.t"), prefix_of("pg_temp_3.t")), ("t", "pg_temp_3."));
        assert_eq!(split_written(&written("s", "t")), Some(("s", "t")));
        assert_eq!((split_written("t"), split_written(&stored)), (None, None));
    }

    #[test]
    fn shown_to_users() {
        let text = format!("relation \"{}\" and \"{}\"", stored_in(7, "t_pkey"), written("s", "t"));
        assert_eq!(shown(&text), "relation \"t_pkey\" and \"s.t\"");
        assert_eq!(shown("plain"), "plain");
    }
}
