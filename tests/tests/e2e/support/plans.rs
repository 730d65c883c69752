//! Substrait plans made by hand.

use datafusion_substrait::substrait::proto::{
    NamedObjectWrite, NamedStruct, Plan, PlanRel, ReadRel, Rel, RelRoot, Type, Version, WriteRel,
    plan_rel::RelType as Root,
    read_rel::{NamedTable, ReadType},
    rel::RelType,
    r#type::{I64, Kind, Nullability, Struct},
    write_rel::{WriteOp, WriteType},
};

/// `SELECT column FROM table`, of a column of BIGINTs.
pub fn read_plan(table: &str, column: &str) -> Plan {
    plan(read(table, column), &[column])
}

/// `INSERT INTO table (column) SELECT column FROM table`.
pub fn insert_plan(table: &str, column: &str) -> Plan {
    let named = NamedObjectWrite { names: vec![table.to_owned()], ..Default::default() };
    let write = WriteRel {
        op: WriteOp::Insert.into(),
        write_type: Some(WriteType::NamedTable(named)),
        table_schema: Some(schema(column)),
        input: Some(Box::new(read(table, column))),
        ..Default::default()
    };
    plan(Rel { rel_type: Some(RelType::Write(Box::new(write))) }, &[])
}

fn plan(input: Rel, names: &[&str]) -> Plan {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Plan {
        version: Some(Version { minor_number: 63, ..Default::default() }),
        relations: vec![PlanRel { rel_type: Some(Root::Root(RelRoot { input: Some(input), names })) }],
        ..Default::default()
    }
}

fn schema(column: &str) -> NamedStruct {
    let nullability = Nullability::Nullable.into();
    let number = Type { kind: Some(Kind::I64(I64 { nullability, ..Default::default() })) };
    NamedStruct { names: vec![column.to_owned()], r#struct: Some(Struct { types: vec![number], ..Default::default() }) }
}

fn read(table: &str, column: &str) -> Rel {
    let named = NamedTable { names: vec![table.to_owned()], ..Default::default() };
    let read = ReadRel {
        base_schema: Some(schema(column)),
        read_type: Some(ReadType::NamedTable(named)),
        ..Default::default()
    };
    Rel { rel_type: Some(RelType::Read(Box::new(read))) }
}
