//! Server reflection: what `grpcurl` and the like ask for. arrow-flight ships no descriptors, so Flight's are written
//! down here, from the specification.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use tonic_reflection::server::{Builder, Error};

const PACKAGE: &str = "arrow.flight.protocol";

/// The reflection service, version 1.
pub(super) fn v1() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    Error,
> {
    builder().build_v1()
}

/// The reflection service, version 1 alpha, which most tools still ask first.
pub(super) fn v1alpha() -> Result<
    tonic_reflection::server::v1alpha::ServerReflectionServer<impl tonic_reflection::server::v1alpha::ServerReflection>,
    Error,
> {
    builder().build_v1alpha()
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_file_descriptor_set(FileDescriptorSet { file: vec![timestamp(), flight()] })
}

/// The sorts of fields Flight's messages have.
#[derive(Clone, Copy)]
enum Field {
    Bytes,
    Text,
    Texts,
    Uint64,
    Int64,
    Int32,
    Bool,
    Double,
    Message(&'static str),
    Messages(&'static str),
    Enum(&'static str),
}

use Field::{Bool, Bytes, Double, Enum, Int32, Int64, Message, Messages, Text, Texts, Uint64};

const TIMESTAMP: Field = Message(".google.protobuf.Timestamp");

/// A message's name and its fields: name, number, sort.
type MessageShape = (&'static str, &'static [(&'static str, i32, Field)]);

const MESSAGES: &[MessageShape] = &[
    ("HandshakeRequest", &[("protocol_version", 1, Uint64), ("payload", 2, Bytes)]),
    ("HandshakeResponse", &[("protocol_version", 1, Uint64), ("payload", 2, Bytes)]),
    ("BasicAuth", &[("username", 2, Text), ("password", 3, Text)]),
    ("Empty", &[]),
    ("ActionType", &[("type", 1, Text), ("description", 2, Text)]),
    ("Criteria", &[("expression", 1, Bytes)]),
    ("Action", &[("type", 1, Text), ("body", 2, Bytes)]),
    ("CancelFlightInfoRequest", &[("info", 1, Message("FlightInfo"))]),
    ("CancelFlightInfoResult", &[("status", 1, Enum("CancelStatus"))]),
    ("RenewFlightEndpointRequest", &[("endpoint", 1, Message("FlightEndpoint"))]),
    ("Result", &[("body", 1, Bytes)]),
    ("SchemaResult", &[("schema", 1, Bytes)]),
    (
        "FlightDescriptor",
        &[("type", 1, Enum("FlightDescriptor.DescriptorType")), ("cmd", 2, Bytes), ("path", 3, Texts)],
    ),
    (
        "FlightInfo",
        &[
            ("schema", 1, Bytes),
            ("flight_descriptor", 2, Message("FlightDescriptor")),
            ("endpoint", 3, Messages("FlightEndpoint")),
            ("total_records", 4, Int64),
            ("total_bytes", 5, Int64),
            ("ordered", 6, Bool),
            ("app_metadata", 7, Bytes),
        ],
    ),
    (
        "PollInfo",
        &[
            ("info", 1, Message("FlightInfo")),
            ("flight_descriptor", 2, Message("FlightDescriptor")),
            ("progress", 3, Double),
            ("expiration_time", 4, TIMESTAMP),
        ],
    ),
    (
        "FlightEndpoint",
        &[
            ("ticket", 1, Message("Ticket")),
            ("location", 2, Messages("Location")),
            ("expiration_time", 3, TIMESTAMP),
            ("app_metadata", 4, Bytes),
        ],
    ),
    ("Location", &[("uri", 1, Text)]),
    ("Ticket", &[("ticket", 1, Bytes)]),
    (
        "FlightData",
        &[
            ("flight_descriptor", 1, Message("FlightDescriptor")),
            ("data_header", 2, Bytes),
            ("app_metadata", 3, Bytes),
            ("data_body", 1000, Bytes),
        ],
    ),
    ("PutResult", &[("app_metadata", 1, Bytes)]),
];

/// Name, request, response, whether the client streams, whether the server does.
const METHODS: [(&str, &str, &str, bool, bool); 10] = [
    ("Handshake", "HandshakeRequest", "HandshakeResponse", true, true),
    ("ListFlights", "Criteria", "FlightInfo", false, true),
    ("GetFlightInfo", "FlightDescriptor", "FlightInfo", false, false),
    ("PollFlightInfo", "FlightDescriptor", "PollInfo", false, false),
    ("GetSchema", "FlightDescriptor", "SchemaResult", false, false),
    ("DoGet", "Ticket", "FlightData", false, true),
    ("DoPut", "FlightData", "PutResult", true, true),
    ("DoExchange", "FlightData", "FlightData", true, true),
    ("DoAction", "Action", "Result", false, true),
    ("ListActions", "Empty", "ActionType", false, true),
];

fn flight() -> FileDescriptorProto {
    let mut messages: Vec<_> = MESSAGES.iter().map(|(name, fields)| message(name, fields)).collect();
    for message in &mut messages {
        if message.name() == "FlightDescriptor" {
            message.enum_type.push(enumeration("DescriptorType", &["UNKNOWN", "PATH", "CMD"]));
        }
    }
    let statuses = [
        "CANCEL_STATUS_UNSPECIFIED",
        "CANCEL_STATUS_CANCELLED",
        "CANCEL_STATUS_CANCELLING",
        "CANCEL_STATUS_NOT_CANCELLABLE",
    ];
    let methods = METHODS.iter().map(|(name, input, output, client, server)| MethodDescriptorProto {
        name: Some((*name).to_owned()),
        input_type: Some(full_name(input)),
        output_type: Some(full_name(output)),
        client_streaming: Some(*client),
        server_streaming: Some(*server),
        ..MethodDescriptorProto::default()
    });
    FileDescriptorProto {
        name: Some("Flight.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec!["google/protobuf/timestamp.proto".to_owned()],
        message_type: messages,
        enum_type: vec![enumeration("CancelStatus", &statuses)],
        service: vec![ServiceDescriptorProto {
            name: Some("FlightService".to_owned()),
            method: methods.collect(),
            ..ServiceDescriptorProto::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn timestamp() -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some("google/protobuf/timestamp.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![message("Timestamp", &[("seconds", 1, Int64), ("nanos", 2, Int32)])],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn message(name: &str, fields: &[(&str, i32, Field)]) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().map(|(name, number, field)| descriptor(name, *number, *field)).collect(),
        ..DescriptorProto::default()
    }
}

fn descriptor(name: &str, number: i32, field: Field) -> FieldDescriptorProto {
    let (kind, label, type_name) = match field {
        Bytes => (Type::Bytes, Label::Optional, None),
        Text => (Type::String, Label::Optional, None),
        Texts => (Type::String, Label::Repeated, None),
        Uint64 => (Type::Uint64, Label::Optional, None),
        Int64 => (Type::Int64, Label::Optional, None),
        Int32 => (Type::Int32, Label::Optional, None),
        Bool => (Type::Bool, Label::Optional, None),
        Double => (Type::Double, Label::Optional, None),
        Message(name) => (Type::Message, Label::Optional, Some(full_name(name))),
        Messages(name) => (Type::Message, Label::Repeated, Some(full_name(name))),
        Enum(name) => (Type::Enum, Label::Optional, Some(full_name(name))),
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        r#type: Some(kind.into()),
        label: Some(label.into()),
        type_name,
        ..FieldDescriptorProto::default()
    }
}

fn enumeration(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let values = values.iter().zip(0..).map(|(name, number)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    });
    EnumDescriptorProto { name: Some(name.to_owned()), value: values.collect(), ..EnumDescriptorProto::default() }
}

/// A type's name from the root; a name that starts with a dot is one already.
fn full_name(name: &str) -> String {
    if name.starts_with('.') { name.to_owned() } else { format!(".{PACKAGE}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Rpc;

    #[test]
    fn every_flight_rpc_is_described() {
        let described: Vec<_> = METHODS.iter().map(|(name, ..)| format!("/{PACKAGE}.FlightService/{name}")).collect();
        let served: Vec<_> =
            Rpc::ALL.into_iter().map(Rpc::path).filter(|path| path.contains("FlightService")).collect();
        assert_eq!(described, served);
        assert!(v1().is_ok() && v1alpha().is_ok());
    }
}
