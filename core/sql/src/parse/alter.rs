//! ALTER.

use super::ast::{
    AlterAction, AlterTable, ColumnDef, Constraint, CreateTable, IdentityDef, Name, SequenceOptions,
    Statement,
};
use super::keywords;
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::{Error, Result};

impl Parser<'_> {
    /// What follows ALTER.
    pub(super) fn alter(&mut self, at: u32) -> Result<Statement> {
        if self.accept("sequence")? {
            return self.alter_sequence();
        }
        if self.accept("type")? {
            return self.alter_type();
        }
        if self.accept("schema")? {
            return self.alter_schema();
        }
        if self.accept("table")? {
            return self.alter_table().map(Statement::AlterTable);
        }
        if self.accept("index")? {
            let if_exists = self.accept_all(&["if", "exists"])?;
            let name = self.table_name()?;
            if !self.accept_all(&["rename", "to"])? {
                return self.refuse("ALTER INDEX");
            }
            return Ok(Statement::RenameIndex { name, if_exists, to: self.name()? });
        }
        if self.accept("system")? {
            return self.alter_system();
        }
        let next = self.peek()?;
        let what = self.slice(next).to_ascii_uppercase();
        let is_known = keywords::is_object(&what.to_ascii_lowercase()) || what == "LARGE";
        if next.kind != Kind::Word || !is_known {
            return Err(self.unexpected(next));
        }
        Err(Error::unsupported(format!("ALTER {what}")).at(at))
    }

    fn alter_table(&mut self) -> Result<AlterTable> {
        let if_exists = self.accept_all(&["if", "exists"])?;
        let name = self.table_with_only()?;
        let actions = match self.rename_action()? {
            Some(action) => vec![action],
            None => self.list(|parser| parser.alter_action())?,
        };
        Ok(AlterTable { name, if_exists, actions })
    }

    fn rename_action(&mut self) -> Result<Option<AlterAction>> {
        if !self.accept("rename")? {
            return Ok(None);
        }
        if self.accept("to")? {
            return Ok(Some(AlterAction::RenameTo(self.name()?)));
        }
        let is_constraint = self.accept("constraint")?;
        if !is_constraint {
            self.accept("column")?;
        }
        let from = self.name()?;
        self.expect("to")?;
        let to = self.name()?;
        Ok(Some(if is_constraint {
            AlterAction::RenameConstraint { from, to }
        } else {
            AlterAction::RenameColumn { from, to }
        }))
    }

    fn alter_action(&mut self) -> Result<AlterAction> {
        if self.accept("add")? {
            return self.add_action();
        }
        if self.accept("drop")? {
            let is_constraint = self.accept("constraint")?;
            if !is_constraint {
                self.accept("column")?;
            }
            let if_exists = self.accept_all(&["if", "exists"])?;
            let name = self.name()?;
            let cascade = self.accept("cascade")?;
            if !cascade {
                self.accept("restrict")?;
            }
            return Ok(if is_constraint {
                AlterAction::DropConstraint { name, if_exists, cascade }
            } else {
                AlterAction::DropColumn { name, if_exists, cascade }
            });
        }
        if self.accept("alter")? {
            if self.is_word("constraint")? {
                return self.refuse("ALTER CONSTRAINT");
            }
            self.accept("column")?;
            return self.column_action();
        }
        for word in
            ["set", "owner", "enable", "disable", "cluster", "inherit", "no", "replica", "validate", "force"]
        {
            self.refuse_word(word, &format!("ALTER TABLE {}", word.to_uppercase()))?;
        }
        for word in ["attach", "detach", "of", "not", "reset"] {
            self.refuse_word(word, &format!("ALTER TABLE {}", word.to_uppercase()))?;
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    fn add_action(&mut self) -> Result<AlterAction> {
        let mut scratch = CreateTable {
            temporary: false,
            name: Name { text: String::new(), at: 0 },
            if_not_exists: false,
            columns: Vec::new(),
            constraints: Vec::new(),
            likes: Vec::new(),
        };
        let is_column = self.accept("column")?;
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        if is_column || if_not_exists {
            self.column(&mut scratch)?;
        } else {
            self.table_element(&mut scratch)?;
        }
        Ok(match scratch.columns.pop() {
            Some(definition) => {
                let (definition, constraints): (ColumnDef, Vec<Constraint>) =
                    (definition, scratch.constraints);
                AlterAction::AddColumn { definition: Box::new(definition), constraints, if_not_exists }
            }
            None => {
                let constraint = scratch.constraints.pop();
                let constraint = constraint.ok_or_else(|| Error::internal("ADD without anything"))?;
                AlterAction::AddConstraint(constraint)
            }
        })
    }

    fn column_action(&mut self) -> Result<AlterAction> {
        let name = self.name()?;
        if self.accept("type")? || self.accept_all(&["set", "data", "type"])? {
            let ty = self.type_name()?;
            self.refuse_word("collate", "COLLATE")?;
            let using = if self.accept("using")? { Some(self.expr()?) } else { None };
            return Ok(AlterAction::SetType { name, ty, using });
        }
        if self.accept_all(&["set", "default"])? {
            let default = Some(self.expr_with_text()?);
            return Ok(AlterAction::SetDefault { name, default });
        }
        if self.accept_all(&["drop", "default"])? {
            return Ok(AlterAction::SetDefault { name, default: None });
        }
        if self.accept_all(&["set", "not", "null"])? {
            return Ok(AlterAction::SetNotNull { name, on: true });
        }
        if self.accept_all(&["drop", "not", "null"])? {
            return Ok(AlterAction::SetNotNull { name, on: false });
        }
        if self.accept_all(&["drop", "identity"])? {
            let if_exists = self.accept_all(&["if", "exists"])?;
            return Ok(AlterAction::DropIdentity { name, if_exists });
        }
        if self.accept_all(&["add", "generated"])? {
            let always = self.always_or_default()?;
            self.expect("as")?;
            self.expect("identity")?;
            let mut options = SequenceOptions::default();
            if self.accept_punct(b'(')? {
                options = self.sequence_options()?;
                self.expect_punct(b')')?;
            }
            return Ok(AlterAction::AddIdentity { name, identity: IdentityDef { always, options } });
        }
        self.identity_changes(name)
    }

    /// ALWAYS, or BY DEFAULT.
    pub(super) fn always_or_default(&mut self) -> Result<bool> {
        let always = self.accept("always")?;
        if !always {
            self.expect("by")?;
            self.expect("default")?;
        }
        Ok(always)
    }

    /// SET GENERATED, SET option, RESTART: one or more.
    fn identity_changes(&mut self, name: Name) -> Result<AlterAction> {
        let (mut always, mut options, mut any) = (None, SequenceOptions::default(), false);
        loop {
            if self.is_word("restart")? {
                self.sequence_option(&mut options)?;
            } else if self.accept_all(&["set", "generated"])? {
                always = Some(self.always_or_default()?);
            } else if self.is_word("set")? {
                for word in ["statistics", "storage", "compression"] {
                    if self.is_word_at(1, word)? {
                        return self.refuse(&format!("SET {}", word.to_uppercase()));
                    }
                }
                self.take()?;
                if self.is_punct(b'(')? {
                    return self.refuse("column options");
                }
                if !self.sequence_option(&mut options)? {
                    let next = self.peek()?;
                    return Err(self.unexpected(next));
                }
            } else if any {
                return Ok(AlterAction::SetIdentity { name, always, options });
            } else {
                let next = self.peek()?;
                return match self.slice(next).to_ascii_lowercase().as_str() {
                    "drop" => self.refuse("DROP EXPRESSION"),
                    "reset" => self.refuse("column options"),
                    _ => Err(self.unexpected(next)),
                };
            }
            any = true;
        }
    }
}
