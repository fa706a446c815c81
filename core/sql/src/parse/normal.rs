//! A statement's text without what differs from run to run: literals become `?` (several in a row `?, ...`), blanks one space, comments
//! nothing, unquoted names and keywords small letters. Parameters stay.

use super::lexer::{Kind, Lexer};

/// The text in its normal form, cut behind about `bytes_max` bytes. A text that has no tokens stays as it is.
pub fn normal_text(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    let mut lexer = Lexer::new(text);
    let (mut end, mut literals) = (0, Literals::None);
    while let Ok(token) = lexer.next() {
        let is_literal =
            matches!(token.kind, Kind::String | Kind::EscapeString | Kind::DollarString | Kind::Number);
        literals = match (token.kind, is_literal, literals) {
            (Kind::End, ..) => break,
            (_, true, Literals::Comma(at)) => {
                out.truncate(at);
                out.push_str("?, ...");
                end = token.end;
                Literals::Some(at)
            }
            (_, true, _) => Literals::Some(out.len() + usize::from(token.start > end && !out.is_empty())),
            (Kind::Punct(b','), false, Literals::Some(at)) => Literals::Comma(at),
            _ => Literals::None,
        };
        if is_literal && out.ends_with("?, ...") && end == token.end {
            continue;
        }
        if token.start > end && !out.is_empty() {
            out.push(' ');
        }
        end = token.end;
        match token.kind {
            _ if is_literal => out.push('?'),
            Kind::Word => out.extend(text[token.start..token.end].chars().map(|it| it.to_ascii_lowercase())),
            _ => out.push_str(&text[token.start..token.end]),
        }
        if out.len() > bytes_max {
            let cut = (0..=bytes_max).rev().find(|&at| out.is_char_boundary(at)).unwrap_or(0);
            out.truncate(cut);
            out.push_str("...");
            break;
        }
    }
    out
}

/// The literals just written: where the first of them lies.
#[derive(Clone, Copy)]
enum Literals {
    None,
    Some(usize),
    Comma(usize),
}

#[cfg(test)]
mod tests {
    use super::normal_text;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(normal_text(text, 2048), expected);
    }

    #[test]
    fn normal_texts() {
        check("SELECT  *\n FROM t -- all\n WHERE a = 5", "select * from t where a = ?");
        check("select 'x''y', E'\\n', $$z$$, 1.5e3", "select ?, ...");
        check("insert into T values (1,2),(3, 4)", "insert into t values (?, ...),(?, ...)");
        check("select a+1, 2, b from \"T\" where c in (7)", "select a+?, ..., b from \"T\" where c in (?)");
        check("select $1::int, x, 1", "select $1::int, x, ?");
        check("select /* a */ 1 /* b */ , 2", "select ?, ...");
        check("", "");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(normal_text("select ä, ä, ä", 8), "select ...");
        assert_eq!(normal_text("select ä, ä, ä", 9), "select ä...");
    }
}
