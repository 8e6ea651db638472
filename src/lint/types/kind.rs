//! What a type is by its name, without its size; no I/O.

/// What a type is, without its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lint) enum Kind {
    Bool,
    /// Bits of the value.
    Int(u32),
    Unsigned(u32),
    Numeric,
    /// Bytes.
    Float(u32),
    Char,
    Varchar,
    /// How many bytes it holds, as a power of two.
    Text(u32),
    Citext,
    Binary,
    Varbinary,
    Blob(u32),
    Bit,
    Varbit,
    Date,
    Time,
    TimeTz,
    /// Without a time zone; MySQL's DATETIME too.
    Timestamp,
    TimestampTz,
    Interval,
    Year,
    Uuid,
    Json,
    Jsonb,
    Xml,
    Inet,
    Cidr,
    Money,
    Enum,
    Set,
    Other(String),
}

/// How much a text type of PostgreSQL or SQLite holds.
pub(super) const NO_LIMIT: u32 = 62;

/// The kind that goes by this name.
pub(super) fn named(name: &str, numbers: &[u64], mysql: bool) -> Kind {
    let limit = |bits: u32| if mysql { bits } else { NO_LIMIT };
    match name {
        "bool" | "boolean" if mysql => Kind::Int(8),
        "tinyint" if mysql => Kind::Int(8),
        "bool" | "boolean" => Kind::Bool,
        "smallint" | "int2" | "smallserial" | "serial2" => Kind::Int(16),
        "mediumint" => Kind::Int(24),
        "int" | "integer" | "int4" | "serial4" => Kind::Int(32),
        "serial" if !mysql => Kind::Int(32),
        "bigint" | "int8" | "bigserial" | "serial8" | "serial" => Kind::Int(64),
        "numeric" | "decimal" | "dec" | "fixed" => Kind::Numeric,
        "real" | "float4" if !mysql => Kind::Float(4),
        "float" if mysql => Kind::Float(4),
        "float" if numbers.first().is_some_and(|bits| *bits <= 24) => Kind::Float(4),
        "float" | "float8" | "double precision" | "double" | "real" => Kind::Float(8),
        "char" | "character" | "bpchar" | "nchar" | "national character" | "national char" => Kind::Char,
        "varchar" | "character varying" | "char varying" | "nvarchar" | "national varchar" => Kind::Varchar,
        "tinytext" => Kind::Text(8),
        "text" => Kind::Text(limit(16)),
        "mediumtext" => Kind::Text(24),
        "longtext" => Kind::Text(32),
        "citext" | "public.citext" => Kind::Citext,
        "binary" => Kind::Binary,
        "varbinary" => Kind::Varbinary,
        "tinyblob" => Kind::Blob(8),
        "blob" => Kind::Blob(limit(16)),
        "mediumblob" => Kind::Blob(24),
        "longblob" => Kind::Blob(32),
        "bytea" => Kind::Blob(NO_LIMIT),
        "bit" => Kind::Bit,
        "bit varying" | "varbit" => Kind::Varbit,
        "date" => Kind::Date,
        "time" | "time without time zone" => Kind::Time,
        "timetz" | "time with time zone" => Kind::TimeTz,
        "timestamp" if mysql => Kind::TimestampTz,
        "timestamp" | "timestamp without time zone" | "datetime" => Kind::Timestamp,
        "timestamptz" | "timestamp with time zone" => Kind::TimestampTz,
        "interval" => Kind::Interval,
        "year" => Kind::Year,
        "uuid" => Kind::Uuid,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "xml" => Kind::Xml,
        "inet" => Kind::Inet,
        "cidr" => Kind::Cidr,
        "money" => Kind::Money,
        "enum" => Kind::Enum,
        "set" => Kind::Set,
        other => Kind::Other(other.to_owned()),
    }
}
