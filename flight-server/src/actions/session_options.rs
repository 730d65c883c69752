//! `SetSessionOptions`, `GetSessionOptions` and `CloseSession`.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use skein_model::{ErrorKind, Kind as _};
use skein_query::Session;
use tonic::{Code, Status};

use super::session_messages::{
    CloseSessionResult, CloseStatus, OptionError, OptionErrorValue, OptionValue, SessionOptionValue, SessionOptions,
    SetSessionOptionsResult,
};
use crate::{rpc::Caller, server::State, status};

pub(super) fn set(caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request = SessionOptions::decode(body.clone()).map_err(|error| {
        status::new(Code::InvalidArgument, format!("the body is not a SetSessionOptionsRequest: {error}"))
    })?;
    let mut errors = HashMap::new();
    for (name, value) in request.session_options {
        if let Err(error) = set_one(&caller.session, &name, value.option_value) {
            errors.insert(name, OptionError { value: error.into() });
        }
    }
    Ok(vec![SetSessionOptionsResult { errors }.encode_to_vec().into()])
}

fn set_one(session: &Session, name: &str, value: Option<OptionValue>) -> Result<(), OptionErrorValue> {
    if !session.has_option(name) {
        return Err(OptionErrorValue::InvalidName);
    }
    let outcome = match value {
        Some(OptionValue::String(text)) => session.set_option(name, &text),
        Some(OptionValue::Bool(value)) => session.set_option(name, &value.to_string()),
        Some(OptionValue::Int(value)) => session.set_option(name, &value.to_string()),
        Some(OptionValue::Double(value)) => session.set_option(name, &value.to_string()),
        // No option of ours is a list.
        Some(OptionValue::List(_)) => return Err(OptionErrorValue::InvalidValue),
        None => session.reset_option(name),
    };
    outcome.map_err(|error| {
        tracing::debug!(option = name, %error, "session option refused");
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::NotFound => OptionErrorValue::InvalidValue,
            _ => OptionErrorValue::Error,
        }
    })
}

pub(super) fn get(caller: &Caller, _: &Bytes) -> Result<Vec<Bytes>, Status> {
    let value = |text| SessionOptionValue { option_value: Some(OptionValue::String(text)) };
    let session_options = caller.session.options().into_iter().map(|(name, text)| (name, value(text))).collect();
    Ok(vec![SessionOptions { session_options }.encode_to_vec().into()])
}

pub(super) fn close(state: &Arc<State>, caller: &Caller, _: &Bytes) -> Result<Vec<Bytes>, Status> {
    let closed = state.sessions.close(caller.session.id());
    let status = if closed { CloseStatus::Closed } else { CloseStatus::NotCloseable };
    Ok(vec![CloseSessionResult { status: status.into() }.encode_to_vec().into()])
}
