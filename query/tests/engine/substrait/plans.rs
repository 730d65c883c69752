//! Plans made by hand, of messages.

use datafusion_substrait::substrait::proto::{
    Expression, FilterRel, FunctionArgument, NamedObjectWrite, NamedStruct, Plan, PlanRel, ReadRel, Rel, RelRoot, Type,
    Version, WriteRel,
    expression::{
        FieldReference, Literal, ReferenceSegment, RexType, ScalarFunction, field_reference::ReferenceType,
        literal::LiteralType, reference_segment,
    },
    extensions::{
        SimpleExtensionDeclaration,
        simple_extension_declaration::{ExtensionFunction, MappingType},
    },
    function_argument::ArgType,
    plan_rel::RelType as Root,
    read_rel::{NamedTable, ReadType},
    rel::RelType,
    r#type::{self as types, Kind as TypeKind, Nullability},
    write_rel::{WriteOp, WriteType},
};

pub(super) fn kind_of(kind: TypeKind) -> Type {
    Type { kind: Some(kind) }
}

pub(super) fn i64_type() -> Type {
    let nullability = Nullability::Nullable.into();
    kind_of(TypeKind::I64(types::I64 { nullability, ..Default::default() }))
}

pub(super) fn string_type() -> Type {
    let nullability = Nullability::Nullable.into();
    kind_of(TypeKind::String(types::String { nullability, ..Default::default() }))
}

pub(super) fn schema(columns: &[(&str, Type)]) -> NamedStruct {
    NamedStruct {
        names: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        r#struct: Some(types::Struct {
            types: columns.iter().map(|(_, data_type)| data_type.clone()).collect(),
            nullability: Nullability::Required.into(),
            ..Default::default()
        }),
    }
}

pub(super) fn a_and_b() -> NamedStruct {
    schema(&[("a", i64_type()), ("b", string_type())])
}

pub(super) fn rel(relation: RelType) -> Rel {
    Rel { rel_type: Some(relation) }
}

pub(super) fn read_as(names: &[&str], schema: NamedStruct) -> ReadRel {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let read_type = Some(ReadType::NamedTable(NamedTable { names, ..Default::default() }));
    ReadRel { base_schema: Some(schema), read_type, ..Default::default() }
}

pub(super) fn read_t() -> Rel {
    rel(RelType::Read(Box::new(read_as(&["t"], a_and_b()))))
}

pub(super) fn plan_of(input: Rel, names: &[&str]) -> Plan {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let function = |(anchor, name): (u32, &str)| SimpleExtensionDeclaration {
        mapping_type: Some(MappingType::ExtensionFunction(ExtensionFunction {
            function_anchor: anchor,
            name: name.to_owned(),
            ..Default::default()
        })),
    };
    Plan {
        version: Some(Version { minor_number: 63, ..Default::default() }),
        relations: vec![PlanRel { rel_type: Some(Root::Root(RelRoot { input: Some(input), names })) }],
        extensions: ["equal:any_any", "add:i64_i64", "no_such_function"]
            .into_iter()
            .enumerate()
            .map(|(at, name)| function((u32::try_from(at).unwrap(), name)))
            .collect(),
        ..Default::default()
    }
}

pub(super) const EQUAL: u32 = 0;
pub(super) const ADD: u32 = 1;
pub(super) const UNKNOWN: u32 = 2;

pub(super) fn expression(rex: RexType) -> Expression {
    Expression { rex_type: Some(rex) }
}

pub(super) fn number(value: i64) -> Expression {
    expression(RexType::Literal(Literal { literal_type: Some(LiteralType::I64(value)), ..Default::default() }))
}

pub(super) fn text(value: &str) -> Expression {
    let literal_type = Some(LiteralType::String(value.to_owned()));
    expression(RexType::Literal(Literal { literal_type, ..Default::default() }))
}

pub(super) fn column(index: i32) -> Expression {
    let field = reference_segment::StructField { field: index, child: None };
    let reference_type = Some(reference_segment::ReferenceType::StructField(Box::new(field)));
    let direct = ReferenceType::DirectReference(ReferenceSegment { reference_type });
    expression(RexType::Selection(Box::new(FieldReference { reference_type: Some(direct), root_type: None })))
}

pub(super) fn call(function: u32, arguments: Vec<Expression>) -> Expression {
    let arguments =
        arguments.into_iter().map(|value| FunctionArgument { arg_type: Some(ArgType::Value(value)) }).collect();
    expression(RexType::ScalarFunction(ScalarFunction {
        function_reference: function,
        arguments,
        ..Default::default()
    }))
}

pub(super) fn filtered(input: Rel, condition: Expression) -> Rel {
    let filter = FilterRel { input: Some(Box::new(input)), condition: Some(Box::new(condition)), ..Default::default() };
    rel(RelType::Filter(Box::new(filter)))
}

pub(super) fn a_is(value: i64) -> Expression {
    call(EQUAL, vec![column(0), number(value)])
}

pub(super) fn write(op: WriteOp, table: &str, schema: NamedStruct, input: Rel) -> WriteRel {
    let named = NamedObjectWrite { names: vec![table.to_owned()], ..Default::default() };
    WriteRel {
        op: op.into(),
        write_type: Some(WriteType::NamedTable(named)),
        table_schema: Some(schema),
        input: Some(Box::new(input)),
        ..Default::default()
    }
}

pub(super) fn written(write: WriteRel) -> Plan {
    plan_of(rel(RelType::Write(Box::new(write))), &[])
}

/// The bytes of a plan of filters over filters: made without the messages, which could not be dropped.
pub(super) fn deep(depth: usize) -> Vec<u8> {
    let field = |number: u8, content: Vec<u8>| {
        let mut out = vec![number << 3 | 2];
        prost::encode_length_delimiter(content.len(), &mut out).unwrap();
        out.extend(content);
        out
    };
    let relation = (0..depth).fold(Vec::new(), |inner, _| field(2, field(2, inner)));
    field(3, field(1, relation))
}
