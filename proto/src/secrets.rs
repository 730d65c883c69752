//! `Debug` of messages that carry a secret: the secret stays out of it.

use std::fmt;

use crate::v1::{TokenCreateResponse, UserCreateRequest, UserSetPasswordRequest};

const HIDDEN: &str = "[hidden]";

impl fmt::Debug for UserCreateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserCreateRequest")
            .field("name", &self.name)
            .field("password", &HIDDEN)
            .field("admin", &self.admin)
            .finish()
    }
}

impl fmt::Debug for UserSetPasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSetPasswordRequest").field("name", &self.name).field("password", &HIDDEN).finish()
    }
}

impl fmt::Debug for TokenCreateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreateResponse")
            .field("id", &self.id)
            .field("token", &HIDDEN)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let request = UserCreateRequest { name: "ada".into(), password: "hunter2".into(), admin: true };
        assert!(format!("{request:?}").contains("ada") && !format!("{request:?}").contains("hunter2"));
        let token = TokenCreateResponse { id: "1".into(), token: "skein_1_x".into(), ..Default::default() };
        assert!(!format!("{token:?}").contains("skein_1_x"));
        let password = UserSetPasswordRequest { name: "ada".into(), password: "hunter2".into() };
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
