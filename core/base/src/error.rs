//! The one error type. An [`Error`] says what happened in PostgreSQL's codes ([`SqlState`]) and what the caller should
//! do about it ([`Duty`]); its text is for people and is not API.

use std::fmt;

/// The result of almost everything in the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A five-character SQLSTATE code (PostgreSQL documentation, Appendix A).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState(pub [u8; 5]);

macro_rules! sqlstates {
    ($($name:ident = $code:literal;)*) => {
        #[allow(missing_docs, reason = "the names are PostgreSQL's condition names")]
        impl SqlState {
            $(pub const $name: SqlState = SqlState(*$code);)*
        }
    };
}

sqlstates! {
    CONNECTION_EXCEPTION = b"08000";
    TRANSACTION_RESOLUTION_UNKNOWN = b"08007";
    FEATURE_NOT_SUPPORTED = b"0A000";
    CARDINALITY_VIOLATION = b"21000";
    DATA_EXCEPTION = b"22000";
    STRING_DATA_RIGHT_TRUNCATION = b"22001";
    NUMERIC_VALUE_OUT_OF_RANGE = b"22003";
    NULL_VALUE_NOT_ALLOWED = b"22004";
    INVALID_DATETIME_FORMAT = b"22007";
    DATETIME_FIELD_OVERFLOW = b"22008";
    INVALID_TIME_ZONE_DISPLACEMENT_VALUE = b"22009";
    SUBSTRING_ERROR = b"22011";
    DIVISION_BY_ZERO = b"22012";
    INVALID_PRECEDING_OR_FOLLOWING_SIZE = b"22013";
    INVALID_ARGUMENT_FOR_NTILE = b"22014";
    INTERVAL_FIELD_OVERFLOW = b"22015";
    INVALID_ARGUMENT_FOR_NTH_VALUE = b"22016";
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    INVALID_PARAMETER_VALUE = b"22023";
    INVALID_ESCAPE_SEQUENCE = b"22025";
    INVALID_USE_OF_ESCAPE_CHARACTER = b"2200C";
    INVALID_REGULAR_EXPRESSION = b"2201B";
    INVALID_ARGUMENT_FOR_LOGARITHM = b"2201E";
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = b"2201F";
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE = b"2201W";
    INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE = b"2201X";
    ARRAY_SUBSCRIPT_ERROR = b"2202E";
    SEQUENCE_GENERATOR_LIMIT_EXCEEDED = b"2200H";
    SQL_JSON_ARRAY_NOT_FOUND = b"22039";
    SQL_JSON_MEMBER_NOT_FOUND = b"2203A";
    SQL_JSON_NUMBER_NOT_FOUND = b"2203B";
    SQL_JSON_OBJECT_NOT_FOUND = b"2203C";
    SQL_JSON_SCALAR_REQUIRED = b"2203F";
    SQL_JSON_ITEM_CANNOT_BE_CAST = b"2203G";
    INVALID_SQL_JSON_SUBSCRIPT = b"22033";
    MORE_THAN_ONE_SQL_JSON_ITEM = b"22034";
    NON_NUMERIC_SQL_JSON_ITEM = b"22036";
    SINGLETON_SQL_JSON_ITEM_REQUIRED = b"22038";
    INVALID_ARGUMENT_FOR_SQL_JSON_DATETIME = b"22031";
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET = b"2201G";
    INVALID_TEXT_REPRESENTATION = b"22P02";
    BAD_COPY_FILE_FORMAT = b"22P04";
    UNTRANSLATABLE_CHARACTER = b"22P05";
    NOT_NULL_VIOLATION = b"23502";
    FOREIGN_KEY_VIOLATION = b"23503";
    UNIQUE_VIOLATION = b"23505";
    CHECK_VIOLATION = b"23514";
    INVALID_CURSOR_STATE = b"24000";
    INVALID_TRANSACTION_STATE = b"25000";
    ACTIVE_SQL_TRANSACTION = b"25001";
    READ_ONLY_SQL_TRANSACTION = b"25006";
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    INVALID_SQL_STATEMENT_NAME = b"26000";
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01";
    INVALID_CURSOR_NAME = b"34000";
    INVALID_SAVEPOINT_SPECIFICATION = b"3B001";
    UNDEFINED_SCHEMA = b"3F000";
    DUPLICATE_SCHEMA = b"42P06";
    INSUFFICIENT_PRIVILEGE = b"42501";
    SERIALIZATION_FAILURE = b"40001";
    DEADLOCK_DETECTED = b"40P01";
    SYNTAX_ERROR = b"42601";
    INVALID_NAME = b"42602";
    INVALID_COLUMN_DEFINITION = b"42611";
    NAME_TOO_LONG = b"42622";
    DUPLICATE_COLUMN = b"42701";
    AMBIGUOUS_COLUMN = b"42702";
    UNDEFINED_COLUMN = b"42703";
    UNDEFINED_OBJECT = b"42704";
    DUPLICATE_OBJECT = b"42710";
    DUPLICATE_ALIAS = b"42712";
    DUPLICATE_FUNCTION = b"42723";
    AMBIGUOUS_FUNCTION = b"42725";
    GROUPING_ERROR = b"42803";
    DATATYPE_MISMATCH = b"42804";
    WRONG_OBJECT_TYPE = b"42809";
    CANNOT_COERCE = b"42846";
    UNDEFINED_FUNCTION = b"42883";
    GENERATED_ALWAYS = b"428C9";
    UNDEFINED_TABLE = b"42P01";
    UNDEFINED_PARAMETER = b"42P02";
    RESERVED_NAME = b"42939";
    DUPLICATE_CURSOR = b"42P03";
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    DUPLICATE_TABLE = b"42P07";
    AMBIGUOUS_PARAMETER = b"42P08";
    INVALID_FOREIGN_KEY = b"42830";
    INVALID_COLUMN_REFERENCE = b"42P10";
    INVALID_TABLE_DEFINITION = b"42P16";
    INVALID_OBJECT_DEFINITION = b"42P17";
    INDETERMINATE_DATATYPE = b"42P18";
    INVALID_RECURSION = b"42P19";
    WINDOWING_ERROR = b"42P20";
    INSUFFICIENT_RESOURCES = b"53000";
    DISK_FULL = b"53100";
    OUT_OF_MEMORY = b"53200";
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    STATEMENT_TOO_COMPLEX = b"54001";
    TOO_MANY_COLUMNS = b"54011";
    TOO_MANY_ARGUMENTS = b"54023";
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    OBJECT_IN_USE = b"55006";
    CANT_CHANGE_RUNTIME_PARAM = b"55P02";
    LOCK_NOT_AVAILABLE = b"55P03";
    QUERY_CANCELED = b"57014";
    CANNOT_CONNECT_NOW = b"57P03";
    SYSTEM_ERROR = b"58000";
    IO_ERROR = b"58030";
    UNDEFINED_FILE = b"58P01";
    SNAPSHOT_TOO_OLD = b"72000";
    INTERNAL_ERROR = b"XX000";
    DATA_CORRUPTED = b"XX001";
    INDEX_CORRUPTED = b"XX002";
}

impl SqlState {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("SQLSTATE codes are ASCII constants")
    }

    /// What the caller should do about an error of this code, by its class.
    pub fn duty(&self) -> Duty {
        match &self.0 {
            b"58P01" | b"58030" | b"58000" | b"53100" => Duty::Io,
            c if c.starts_with(b"40") || c == b"55P03" || c == b"72000" || c == b"57P03" => Duty::Retry,
            c if c == b"XX001" || c == b"XX002" => Duty::Corrupt,
            c if c == b"XX000" || c == b"08007" => Duty::Misuse,
            _ => Duty::User,
        }
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Run the transaction again.
    Retry,
    /// Change the statement or its data.
    User,
    /// The file is damaged: restore, or `orrery check`.
    Corrupt,
    /// The disk or the operating system refused: mend that, then try again.
    Io,
    /// A defect of ours, or an outcome that nobody knows.
    Misuse,
}

/// What went wrong. One pointer wide, so that `Result<u64>` stays small on the hot path.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: SqlState,
    position: Option<u32>,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Error {
    /// An error of this code with a message in PostgreSQL's style: lower case, no full stop.
    #[cold]
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { code, position: None, message: message.into(), detail: None, hint: None }))
    }

    /// What is not built yet is refused by name (L6).
    #[cold]
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Error::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// A broken promise inside the engine.
    #[cold]
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(SqlState::INTERNAL_ERROR, message)
    }

    /// Damage found on disk.
    #[cold]
    pub fn corrupt(message: impl Into<String>) -> Self {
        Error::new(SqlState::DATA_CORRUPTED, message)
    }

    /// Sets where in the statement text the error is: 1-based, in characters. An earlier position stays.
    #[must_use]
    pub fn at(mut self, position: u32) -> Self {
        if self.0.position.is_none() && position > 0 {
            self.0.position = Some(position);
        }
        self
    }

    /// Sets the second line, with the values that matter.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Sets the advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The SQLSTATE code.
    pub fn code(&self) -> SqlState {
        self.0.code
    }

    /// What the caller should do.
    pub fn duty(&self) -> Duty {
        self.0.code.duty()
    }

    /// 1-based character position in the statement text, if known.
    pub fn position(&self) -> Option<u32> {
        self.0.position
    }

    /// The first line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The second line, if any.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Advice, if any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, " [{detail}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_position_stays() {
        let error = Error::new(SqlState::SYNTAX_ERROR, "syntax error").at(0).at(7).at(3);
        assert_eq!(error.position(), Some(7));
    }

    #[test]
    fn duties_follow_the_class() {
        assert_eq!(SqlState::DEADLOCK_DETECTED.duty(), Duty::Retry);
        assert_eq!(SqlState::DISK_FULL.duty(), Duty::Io);
        assert_eq!(SqlState::DATA_CORRUPTED.duty(), Duty::Corrupt);
        assert_eq!(SqlState::UNIQUE_VIOLATION.duty(), Duty::User);
    }
}
