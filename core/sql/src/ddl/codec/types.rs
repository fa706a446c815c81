//! Users' types and schemas. The layout is in the head of [`super`].

use super::{Reader, VERSION, Writer, damaged};
use crate::catalog::{Domain, UserType, UserTypeKind};
use orrery_base::Result;

/// Encodes a type.
pub(in crate::ddl) fn encode_type(ty: &UserType) -> Vec<u8> {
    let UserType { id, name, kind } = ty;
    let mut out = Writer(vec![VERSION]);
    out.u32(*id);
    out.str(name);
    match kind {
        UserTypeKind::Enum(labels) => {
            out.0.push(0);
            out.list(labels, |out, label| out.str(label));
        }
        UserTypeKind::Composite(fields) => {
            out.0.push(1);
            out.list(fields, |out, (name, ty, domain)| {
                out.str(name);
                out.ty(*ty);
                out.opt(domain.as_ref(), |out, id| out.u32(*id));
            });
        }
        UserTypeKind::Domain(Domain { base, not_null, default, checks }) => {
            out.0.push(2);
            out.ty(*base);
            out.bool(*not_null);
            out.opt(default.as_ref(), |out, text| out.str(text));
            out.list(checks, |out, (name, text)| {
                out.str(name);
                out.str(text);
            });
        }
    }
    out.0
}

/// The other way round; XX001 for bytes that are no type.
pub(in crate::ddl) fn decode_type(bytes: &[u8]) -> Result<UserType> {
    let mut input = Reader::new(bytes)?;
    let (id, name) = (input.u32()?, input.str()?);
    let kind = match input.u8()? {
        0 => UserTypeKind::Enum(input.list(Reader::str)?),
        1 => UserTypeKind::Composite(
            input.list(|input| Ok((input.str()?, input.ty()?, input.opt(Reader::u32)?)))?,
        ),
        2 => UserTypeKind::Domain(Domain {
            base: input.ty()?,
            not_null: input.bool()?,
            default: input.opt(Reader::str)?,
            checks: input.list(|input| Ok((input.str()?, input.str()?)))?,
        }),
        _ => return Err(damaged()),
    };
    input.end()?;
    Ok(UserType { id, name, kind })
}

/// Encodes a schema.
pub(in crate::ddl) fn encode_schema(id: u32, name: &str) -> Vec<u8> {
    let mut out = Writer(vec![VERSION]);
    out.u32(id);
    out.str(name);
    out.0
}

/// The other way round; XX001 for bytes that are no schema.
pub(in crate::ddl) fn decode_schema(bytes: &[u8]) -> Result<(u32, String)> {
    let mut input = Reader::new(bytes)?;
    let schema = (input.u32()?, input.str()?);
    input.end()?;
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SqlType;

    #[test]
    fn types_come_back() {
        let check = |kind: UserTypeKind| {
            let ty = UserType { id: 1000, name: "t".into(), kind };
            assert_eq!(decode_type(&encode_type(&ty)).unwrap(), ty);
        };
        check(UserTypeKind::Enum(vec!["a".into(), "b".into()]));
        let fields = vec![
            ("a".to_owned(), SqlType::Varchar(Some(3)), None),
            ("b".to_owned(), SqlType::Enum(1001), Some(7)),
            ("c".to_owned(), SqlType::Record(1002).array().unwrap(), None),
        ];
        check(UserTypeKind::Composite(fields));
        check(UserTypeKind::Domain(Domain {
            base: SqlType::Int4,
            not_null: true,
            default: Some("1".into()),
            checks: vec![("c".into(), "value > 0".into())],
        }));
    }

    #[test]
    fn schemas_come_back() {
        let bytes = encode_schema(1000, "s");
        assert_eq!(decode_schema(&bytes).unwrap(), (1000, "s".to_owned()));
        assert_eq!(bytes, [1, 0xe8, 3, 0, 0, 1, 0, 0, 0, b's']);
    }

    #[test]
    fn golden_bytes() {
        let kind = UserTypeKind::Enum(vec!["a".into()]);
        let bytes = encode_type(&UserType { id: 1000, name: "t".into(), kind });
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01e80300000100000074000100000001000000".to_owned() + "61");
    }
}
