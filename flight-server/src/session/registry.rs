//! The sessions that are open.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use skein_flight_sql::FlightSql;
use skein_model::{ErrorKind, Kind, SessionId};
use skein_query::{Engine, Session};

use super::{Claim, ConnectionId, SESSION_COOKIE};

/// How long a session must have been unused to make room for another one.
const DISPENSABLE: Duration = Duration::from_secs(5);

/// All open sessions of the server.
#[derive(Debug)]
pub struct Sessions {
    engine: Engine,
    flight_sql: Arc<FlightSql>,
    limits: SessionLimits,
    open: Mutex<Open>,
}

/// How many sessions there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// A session that nothing has used for this long ends.
    pub idle: Duration,
    /// Sessions at a time.
    pub all: usize,
    /// Sessions of one user at a time.
    pub per_user: usize,
}

/// No session can be opened.
#[derive(Debug, thiserror::Error)]
#[error("{open} sessions{whose} are open, which is the server's limit ({key}); close some, or have it raised")]
pub struct TooManySessions {
    open: usize,
    whose: &'static str,
    key: &'static str,
}

impl Kind for TooManySessions {
    fn kind(&self) -> ErrorKind {
        ErrorKind::ResourceExhausted
    }
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<SessionId, Entry>,
    by_connection: HashMap<(ConnectionId, String), SessionId>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    /// Counts the requests that are in the session now. (The session itself is also held by cached plans.)
    lease: Arc<()>,
    used: Instant,
    /// Set while only this connection names the session.
    tied_to: Option<ConnectionId>,
}

impl Entry {
    fn lease(&self) -> LeasedSession {
        LeasedSession { session: Arc::clone(&self.session), _lease: Arc::clone(&self.lease) }
    }
}

/// A session that stays open as long as this is held.
#[derive(Debug, Clone)]
pub struct LeasedSession {
    session: Arc<Session>,
    _lease: Arc<()>,
}

impl Deref for LeasedSession {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

/// A session for one request.
#[derive(Debug)]
pub struct Opened {
    /// The session, held open for the request.
    pub session: LeasedSession,
    /// Whether the client has to be told its cookie.
    announce: bool,
}

impl Opened {
    /// The `Set-Cookie` value for a session that the client does not know yet.
    pub fn cookie(&self) -> Option<http::HeaderValue> {
        self.announce.then(|| format!("{SESSION_COOKIE}={}", self.session.id()).parse().ok()).flatten()
    }
}

impl Sessions {
    /// No sessions yet. `flight_sql` forgets the statements of those that end.
    pub fn new(engine: Engine, flight_sql: Arc<FlightSql>, limits: SessionLimits) -> Self {
        Self { engine, flight_sql, limits, open: Mutex::default() }
    }

    /// The session a request belongs to; opens one when there is none.
    ///
    /// # Errors
    /// When one would have to be opened and there are too many.
    pub fn resolve(&self, claim: &Claim) -> Result<Opened, TooManySessions> {
        let mut ended = None;
        let opened = self.find_or_begin(claim, &mut ended);
        // Outside of the lock: dropping a session drops its tables.
        if let Some((id, _entry)) = ended {
            self.flight_sql.close_session(id);
        }
        opened
    }

    fn find_or_begin(&self, claim: &Claim, ended: &mut Option<(SessionId, Entry)>) -> Result<Opened, TooManySessions> {
        let mut open = self.open.lock();
        let now = Instant::now();
        if let Some(session) = claim.cookie.and_then(|id| open.enter(id, claim, now)) {
            return Ok(Opened { session, announce: false });
        }
        if let Some(id) = claim.bearer {
            if let Some(session) = open.enter(id, claim, now) {
                return Ok(Opened { session, announce: false });
            }
            *ended = open.make_room(&self.limits, &claim.principal.name, now)?;
            // The cookie takes a client back into this session when its token has expired and it has logged in again.
            let session = self.begin(&mut open, id, claim, None, now);
            return Ok(Opened { session, announce: true });
        }
        let key = (claim.connection, claim.principal.name.clone());
        if let Some(session) = open.by_connection.get(&key).copied().and_then(|id| open.touch(id, now)) {
            return Ok(Opened { session, announce: false });
        }
        *ended = open.make_room(&self.limits, &claim.principal.name, now)?;
        let id = SessionId::generate();
        let session = self.begin(&mut open, id, claim, Some(claim.connection), now);
        open.by_connection.insert(key, id);
        Ok(Opened { session, announce: true })
    }

    fn begin(
        &self,
        open: &mut Open,
        id: SessionId,
        claim: &Claim,
        tied_to: Option<ConnectionId>,
        now: Instant,
    ) -> LeasedSession {
        let session = self.engine.session(id, claim.principal.clone());
        let entry = Entry { session, lease: Arc::new(()), used: now, tied_to };
        let leased = entry.lease();
        open.by_id.insert(id, entry);
        leased
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.open.lock().by_id.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends one session, with its temporary tables. False when it was not open.
    pub fn close(&self, id: SessionId) -> bool {
        self.end(|other, _| other == id) > 0
    }

    /// Ends the sessions that only this connection names.
    pub fn connection_closed(&self, connection: ConnectionId) {
        self.end(|_, entry| entry.tied_to == Some(connection));
        self.open.lock().by_connection.retain(|(other, _), _| *other != connection);
    }

    /// Ends all sessions of one principal: its user is gone, or has another password.
    pub fn close_all_of(&self, principal: &str) {
        self.end(|_, entry| entry.session.principal().name == principal);
    }

    /// Ends the sessions that nothing has used for the idle time. One that a running stream holds is in use.
    pub fn sweep(&self, now: Instant) {
        self.end(|_, entry| {
            if Arc::strong_count(&entry.lease) > 1 {
                entry.used = now;
            }
            now.saturating_duration_since(entry.used) >= self.limits.idle
        });
    }

    /// Ends the sessions that `over` picks, and returns how many those were.
    fn end(&self, mut over: impl FnMut(SessionId, &mut Entry) -> bool) -> usize {
        let ended: Vec<_> = {
            let mut open = self.open.lock();
            let Open { by_id, by_connection } = &mut *open;
            let ended = by_id.extract_if(|id, entry| over(*id, entry)).collect();
            by_connection.retain(|_, id| by_id.contains_key(id));
            ended
        };
        // Outside of the lock: dropping a session drops its tables.
        for (id, _) in &ended {
            self.flight_sql.close_session(*id);
        }
        ended.len()
    }
}

impl Open {
    /// Takes the session out that was unused longest when there are as many as there may be; only one with which nothing is lost.
    fn make_room(
        &mut self,
        limits: &SessionLimits,
        user: &str,
        now: Instant,
    ) -> Result<Option<(SessionId, Entry)>, TooManySessions> {
        let is_own = |entry: &Entry| entry.session.principal().name == user;
        let of_user = match limits.per_user {
            usize::MAX => 0,
            _ => self.by_id.values().filter(|entry| is_own(entry)).count(),
        };
        let is_users = of_user >= limits.per_user;
        if !is_users && self.by_id.len() < limits.all {
            return Ok(None);
        }
        let dispensable = |entry: &Entry| {
            Arc::strong_count(&entry.lease) == 1
                && entry.session.is_untouched()
                && now.saturating_duration_since(entry.used) >= DISPENSABLE
                && (!is_users || is_own(entry))
        };
        let oldest = self.by_id.iter().filter(|(_, entry)| dispensable(entry)).min_by_key(|(_, entry)| entry.used);
        let Some(id) = oldest.map(|(id, _)| *id) else {
            return Err(match is_users {
                true => TooManySessions { open: of_user, whose: " of yours", key: "server.max_sessions_per_user" },
                false => TooManySessions { open: self.by_id.len(), whose: "", key: "server.max_sessions" },
            });
        };
        self.by_connection.retain(|_, other| *other != id);
        Ok(self.by_id.remove(&id).map(|entry| (id, entry)))
    }

    fn touch(&mut self, id: SessionId, now: Instant) -> Option<LeasedSession> {
        let entry = self.by_id.get_mut(&id)?;
        entry.used = now;
        Some(entry.lease())
    }

    /// The session `id`, if the claim's principal opened it. From here on it outlives its connection.
    fn enter(&mut self, id: SessionId, claim: &Claim, now: Instant) -> Option<LeasedSession> {
        let entry = self.by_id.get_mut(&id).filter(|entry| entry.session.principal().name == claim.principal.name)?;
        entry.used = now;
        // Some clients return the cookie on the same connection only; the session then still ends with it.
        if entry.tied_to.is_some_and(|connection| connection != claim.connection) {
            entry.tied_to = None;
        }
        Some(entry.lease())
    }
}

#[cfg(test)]
mod tests {
    use skein_catalog::{Catalog, CatalogOptions};
    use skein_model::Principal;
    use skein_query::EngineConfig;
    use skein_storage::{Bucket, Buckets};

    use super::*;

    /// Long enough for a session to make room.
    const LATER: Duration = Duration::from_secs(60);

    async fn engine() -> Engine {
        let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
        let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
        Engine::new(catalog, EngineConfig::default()).unwrap()
    }

    fn limits(all: usize, per_user: usize) -> SessionLimits {
        SessionLimits { idle: Duration::from_secs(3600), all, per_user }
    }

    /// Sessions of these users, each used a second later than the one before, and when the last one was used.
    fn open(engine: &Engine, users: &[&str]) -> (Open, Vec<SessionId>, Instant) {
        let (mut open, mut ids, mut used) = (Open::default(), Vec::new(), Instant::now());
        for (connection, user) in (0..).zip(users) {
            let (id, principal) =
                (SessionId::generate(), Principal { name: (*user).to_owned(), ..Principal::anonymous() });
            used += Duration::from_secs(1);
            let session = engine.session(id, principal);
            open.by_id.insert(id, Entry { session, lease: Arc::new(()), used, tied_to: Some(connection) });
            open.by_connection.insert((connection, (*user).to_owned()), id);
            ids.push(id);
        }
        (open, ids, used)
    }

    fn ended(made: Result<Option<(SessionId, Entry)>, TooManySessions>) -> Option<SessionId> {
        made.unwrap().map(|(id, _)| id)
    }

    #[tokio::test]
    async fn the_one_that_was_unused_longest_makes_room() {
        let (mut open, ids, used) = open(&engine().await, &["ada", "bob", "cid"]);
        assert_eq!(ended(open.make_room(&limits(4, 9), "dan", used + LATER)), None, "there is room");
        assert_eq!(ended(open.make_room(&limits(3, 9), "dan", used + LATER)), Some(ids[0]));
        assert_eq!((open.by_id.len(), open.by_connection.len()), (2, 2));
        assert_eq!(ended(open.make_room(&limits(2, 9), "dan", used + LATER)), Some(ids[1]));
    }

    #[tokio::test]
    async fn one_that_is_in_use_or_holds_something_makes_no_room() {
        let (mut open, ids, used) = open(&engine().await, &["ada", "bob", "cid"]);
        let _lease = open.by_id[&ids[0]].lease();
        open.by_id[&ids[1]].session.set_option("timezone", "Europe/Berlin").unwrap();
        assert_eq!(ended(open.make_room(&limits(3, 9), "dan", used + LATER)), Some(ids[2]));
        let error = open.make_room(&limits(2, 9), "dan", used + LATER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(
            error.to_string().starts_with("2 sessions are open") && error.to_string().contains("(server.max_sessions)")
        );
    }

    #[tokio::test]
    async fn one_that_was_used_just_now_makes_no_room() {
        let (mut open, ids, used) = open(&engine().await, &["ada"]);
        assert!(open.make_room(&limits(1, 9), "dan", used + DISPENSABLE - Duration::from_millis(1)).is_err());
        assert_eq!(ended(open.make_room(&limits(1, 9), "dan", used + DISPENSABLE)), Some(ids[0]));
    }

    #[tokio::test]
    async fn a_user_at_the_limit_makes_room_with_sessions_of_its_own() {
        let (mut open, ids, used) = open(&engine().await, &["ada", "bob", "bob"]);
        assert_eq!(ended(open.make_room(&limits(9, 2), "ada", used + LATER)), None, "the limit is each user's own");
        assert_eq!(
            ended(open.make_room(&limits(9, 2), "bob", used + LATER)),
            Some(ids[1]),
            "ada's is older, and not bob's"
        );
        let _lease = open.by_id[&ids[2]].lease();
        let error = open.make_room(&limits(9, 1), "bob", used + LATER).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("1 sessions of yours") && text.contains("(server.max_sessions_per_user)"), "{text}");
    }
}
