//! Comments. The layout is in the head of [`crate::ddl`].

use super::{Reader, VERSION, Writer, damaged};
use crate::catalog::{Commented, CommentedPart};
use orrery_base::Result;

/// What a comment is on, as a key.
pub(in crate::ddl) fn encode_commented(on: &Commented) -> Vec<u8> {
    let mut key = on.object.to_be_bytes().to_vec();
    match &on.part {
        CommentedPart::Whole => key.push(0),
        CommentedPart::Column(ordinal) => {
            key.push(1);
            key.extend_from_slice(&(*ordinal as u32).to_be_bytes());
        }
        CommentedPart::Index(name) | CommentedPart::Constraint(name) => {
            key.push(if matches!(on.part, CommentedPart::Index(_)) { 2 } else { 3 });
            key.extend_from_slice(name.as_bytes());
        }
    }
    key
}

/// The other way round; XX001 for bytes that are no such key.
pub(in crate::ddl) fn decode_commented(key: &[u8]) -> Result<Commented> {
    let (object, rest) = key.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (kind, rest) = rest.split_first().ok_or_else(damaged)?;
    let name = || String::from_utf8(rest.to_vec()).map_err(|_| damaged());
    let part = match (kind, rest) {
        (0, []) => CommentedPart::Whole,
        (1, &[a, b, c, d]) => CommentedPart::Column(u32::from_be_bytes([a, b, c, d]) as usize),
        (2, _) => CommentedPart::Index(name()?),
        (3, _) => CommentedPart::Constraint(name()?),
        _ => return Err(damaged()),
    };
    Ok(Commented { object: u32::from_be_bytes(*object), part })
}

/// Encodes a comment's text.
pub(in crate::ddl) fn encode_comment(text: &str) -> Vec<u8> {
    let mut out = Writer(vec![VERSION]);
    out.str(text);
    out.0
}

/// The other way round; XX001 for bytes that are none.
pub(in crate::ddl) fn decode_comment(bytes: &[u8]) -> Result<String> {
    let mut input = Reader::new(bytes)?;
    let text = input.str()?;
    input.end()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn come_back() {
        let parts = [
            CommentedPart::Whole,
            CommentedPart::Column(258),
            CommentedPart::Index("\u{0}7\u{0}i".into()),
            CommentedPart::Constraint(String::new()),
        ];
        for part in parts {
            let on = Commented { object: 1000, part };
            assert_eq!(decode_commented(&encode_commented(&on)).unwrap(), on);
        }
        let on = Commented { object: 1000, part: CommentedPart::Column(1) };
        assert_eq!(encode_commented(&on), [0, 0, 3, 0xe8, 1, 0, 0, 0, 1]);
        assert_eq!(decode_comment(&encode_comment("it's")).unwrap(), "it's");
        assert!(decode_commented(&[0, 0, 3]).is_err() && decode_commented(&[0, 0, 3, 1, 9]).is_err());
    }
}
