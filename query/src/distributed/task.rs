//! What a worker is told about the statement that a task is a part of, in a header of every call.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded;

/// The header's name.
pub const TASK_HEADER: HeaderName = HeaderName::from_static("x-skein-task");

/// What a worker is told about a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskOptions {
    /// The statement's id on the coordinator, as in its `system.queries`.
    pub query: String,
    /// Whose statement it is.
    pub user: String,
    /// Bytes of memory that it may use on each server.
    pub memory: usize,
    /// How long it may still take.
    pub time: Option<Duration>,
    /// Settings of the session.
    pub settings: Vec<(String, String)>,
}

impl TaskOptions {
    /// The options as a header.
    pub(super) fn to_headers(&self) -> HeaderMap {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.append_pair("query", &self.query);
        text.append_pair("user", &self.user);
        text.append_pair("memory", &self.memory.to_string());
        if let Some(time) = self.time {
            text.append_pair("time", &time.as_millis().to_string());
        }
        for (key, value) in &self.settings {
            text.append_pair(&format!("set.{key}"), value);
        }
        // Encoded text is ASCII.
        HeaderValue::try_from(text.finish()).into_iter().map(|value| (TASK_HEADER, value)).collect()
    }

    /// The options in a call's headers; `None` without the header, or when it cannot be read.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TASK_HEADER)?.to_str().ok()?;
        let mut options = Self { memory: usize::MAX, ..Self::default() };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match key.as_ref() {
                "query" => options.query = value.into_owned(),
                "user" => options.user = value.into_owned(),
                "memory" => options.memory = value.parse().ok()?,
                "time" => options.time = Some(Duration::from_millis(value.parse().ok()?)),
                // Later versions may say more.
                other => {
                    let setting = other.strip_prefix("set.").map(str::to_owned);
                    options.settings.extend(setting.map(|setting| (setting, value.into_owned())));
                }
            }
        }
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_as_they_were() {
        let options = TaskOptions {
            query: "01J9ZQ0000000000000000000".to_owned(),
            user: "Ada & Grace = ü\n".to_owned(),
            memory: 1 << 30,
            time: Some(Duration::from_millis(1500)),
            settings: vec![("datafusion.execution.time_zone".to_owned(), "+02:00".to_owned())],
        };
        let headers = options.to_headers();
        assert_eq!(headers.len(), 1);
        assert_eq!(TaskOptions::from_headers(&headers), Some(options));
        assert_eq!(TaskOptions::from_headers(&HeaderMap::new()), None);
        let odd = HeaderMap::from_iter([(TASK_HEADER, HeaderValue::from_static("memory=lots"))]);
        assert_eq!(TaskOptions::from_headers(&odd), None);
    }
}
