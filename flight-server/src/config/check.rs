//! Rules that concern more than one key.

use std::time::Duration;

use super::{AuthMode, ConfigError, Loaded, Role};

/// What is wrong with how the keys fit together.
pub(super) fn check(loaded: &Loaded) -> Vec<ConfigError> {
    let mut found = Vec::new();
    data(loaded, &mut found);
    tls(loaded, &mut found);
    exposure(loaded, &mut found);
    cluster(loaded, &mut found);
    ranges(loaded, &mut found);
    found.into_iter().map(|(key, message)| at(loaded, key, message)).collect()
}

type Found = Vec<(&'static str, String)>;

fn at(loaded: &Loaded, key: &str, message: String) -> ConfigError {
    ConfigError { key: key.to_owned(), origin: loaded.origin(key).clone(), message }
}

/// A URL taken for a path would put the data into a folder of that odd name.
fn data(loaded: &Loaded, found: &mut Found) {
    let data = loaded.config.storage.data.to_string_lossy();
    if let Some((scheme, _)) = data.split_once("://") {
        let message = format!(
            "is a folder of this machine, and \"{data}\" is a URL of {scheme}; write it as the url of a bucket: \
             [storage.buckets.lake] with url = \"{data}\", or the variable SKEIN__STORAGE__BUCKETS__LAKE__URL"
        );
        found.push(("storage.data", message));
    }
}

fn tls(loaded: &Loaded, found: &mut Found) {
    let tls = &loaded.config.tls;
    if tls.cert.is_some() && tls.key.is_none() {
        found.push(("tls.cert", "a certificate needs its private key; set tls.key too".to_owned()));
    }
    if tls.key.is_some() && tls.cert.is_none() {
        found.push(("tls.key", "a private key needs its certificate; set tls.cert too".to_owned()));
    }
    if tls.client_ca.is_some() && tls.cert.is_none() {
        found.push(("tls.client_ca", "client certificates need TLS; set tls.cert and tls.key too".to_owned()));
    }
    if tls.require_client_cert && tls.client_ca.is_none() {
        found.push(("tls.require_client_cert", "needs tls.client_ca, to know whose certificates count".to_owned()));
    }
    for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key), ("tls.client_ca", &tls.client_ca)] {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(path)
        {
            found.push((key, format!("{} cannot be read: {error}", path.display())));
        }
    }
}

/// Beyond loopback there must be login and TLS, or a key that says in so many words that there need not be.
fn exposure(loaded: &Loaded, found: &mut Found) {
    let config = &loaded.config;
    if config.is_loopback() || config.server.allow_insecure_remote {
        return;
    }
    let mut missing = Vec::new();
    if config.auth.mode == AuthMode::None {
        missing.push("no login (auth.mode is \"none\")");
    }
    if config.tls.cert.is_none() {
        missing.push("no TLS (tls.cert and tls.key are not set)");
    }
    if !missing.is_empty() {
        let message = format!(
            "{} is reachable from other machines, but there is {}; set these, listen on 127.0.0.1, or accept the risk with \
             server.allow_insecure_remote = true",
            config.server.listen,
            missing.join(" and ")
        );
        found.push(("server.listen", message));
    }
}

/// A worker has to know whom to tell, and where it is.
fn cluster(loaded: &Loaded, found: &mut Found) {
    let (server, cluster) = (&loaded.config.server, &loaded.config.cluster);
    if let Some(ca) = &cluster.ca
        && let Err(error) = std::fs::File::open(ca)
    {
        found.push(("cluster.ca", format!("{} cannot be read: {error}", ca.display())));
    }
    if cluster.heartbeat.is_zero() {
        found.push(("cluster.heartbeat", "must be longer than nothing; 2s is usual".to_owned()));
    }
    if server.role != Role::Worker {
        return;
    }
    if cluster.coordinators().is_empty() {
        let message = "a worker needs cluster.coordinators, the URLs of the servers whose statements it works on";
        found.push(("server.role", message.to_owned()));
    }
    if cluster.advertise.is_none() && server.listen.ip().is_unspecified() {
        let message = format!("others can't reach a worker at {}; set the URL that they can", server.listen);
        found.push(("cluster.advertise", message));
    }
}

fn ranges(loaded: &Loaded, found: &mut Found) {
    let config = &loaded.config;
    if config.server.max_message_size.0 < 1 << 20 {
        found.push((
            "server.max_message_size",
            "must be at least 1MiB, or ordinary batches would be refused".to_owned(),
        ));
    }
    // A protobuf message, and so a gRPC one, cannot be larger.
    if config.server.max_message_size.0 > (2 << 30) - 1 {
        found.push(("server.max_message_size", "must be below 2GiB, the limit of gRPC".to_owned()));
    }
    if config.server.keepalive_interval.is_some_and(|interval| interval.as_millis() < 100) {
        found.push(("server.keepalive_interval", "must be at least 100ms, or \"off\"".to_owned()));
    }
    if config.server.http_listen == Some(config.server.listen) {
        found.push(("server.http_listen", "is the same address as server.listen; give it another port".to_owned()));
    }
    let keep = &config.maintenance;
    for (key, wrong, range) in [
        ("maintenance.interval", keep.interval < Duration::from_millis(10), "must be at least 10ms"),
        ("maintenance.min_small_files", keep.min_small_files < 2, "must be at least 2"),
        ("maintenance.deleted_percent", !(1..=100).contains(&keep.deleted_percent), "must be from 1 to 100"),
    ] {
        if wrong {
            found.push((key, range.to_owned()));
        }
    }
    if config.query.memory_bytes() < 16 << 20 {
        found.push(("query.memory", "must be at least 16MiB".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};

    fn errors(text: &str) -> String {
        Config::load(&Sources::default().with_text("s.toml", text)).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn remote_without_tls_is_refused_unless_it_is_said() {
        let text = errors("[server]\nlisten = \"0.0.0.0:8815\"\n[auth]\nmode = \"none\"\n");
        assert!(text.contains("s.toml:2: server.listen: 0.0.0.0:8815 is reachable from other machines"), "{text}");
        assert!(text.contains("no login") && text.contains("no TLS"), "{text}");
        assert_eq!(errors("[server]\nlisten = \"0.0.0.0:8815\"\nallow_insecure_remote = true\n"), "");
    }

    #[test]
    fn maintenance_that_makes_no_sense_is_refused() {
        let text = errors("[maintenance]\ninterval = \"1ms\"\nmin_small_files = 1\ndeleted_percent = 101\n");
        for key in ["interval", "min_small_files", "deleted_percent"] {
            assert!(text.contains(&format!("maintenance.{key}: must be")), "{key}: {text}");
        }
        assert_eq!(
            errors("[maintenance]\ncompact = true\nkeep_age = \"7d\"\nkeep_versions = 10\ncollect = true\n"),
            ""
        );
    }

    #[test]
    fn a_url_is_no_data_folder() {
        let text = errors("[storage]\ndata = \"s3://lake/skein\"\n");
        assert!(
            text.contains("s.toml:2: storage.data: is a folder") && text.contains("[storage.buckets.lake]"),
            "{text}"
        );
    }

    #[test]
    fn half_of_a_tls_configuration_is_refused() {
        assert!(errors("[tls]\nkey = \"/no/such/key.pem\"\n").contains("set tls.cert too"));
        assert!(errors("[tls]\nrequire_client_cert = true\n").contains("needs tls.client_ca"));
        assert!(errors("[tls]\ncert = \"/no/such/c.pem\"\n").contains("/no/such/c.pem cannot be read"));
    }

    #[test]
    fn a_worker_needs_a_coordinator_and_an_address() {
        let text = errors("[server]\nrole = \"worker\"\nlisten = \"0.0.0.0:8815\"\nallow_insecure_remote = true\n");
        assert!(
            text.contains("needs cluster.coordinators") && text.contains("can't reach a worker at 0.0.0.0"),
            "{text}"
        );
        assert_eq!(errors("[server]\nrole = \"worker\"\n[cluster]\ncoordinators = \"grpc://a:1, grpc://b:2\"\n"), "");
    }

    #[test]
    fn sizes_have_bounds() {
        assert!(errors("[server]\nmax_message_size = \"1KiB\"\n").contains("at least 1MiB"));
        assert!(errors("[server]\nmax_message_size = \"4GiB\"\n").contains("below 2GiB"));
        assert!(errors("[server]\nkeepalive_interval = \"1ms\"\n").contains("at least 100ms"));
        assert_eq!(errors("[server]\nkeepalive_interval = \"off\"\n"), "");
        assert!(errors("[server]\nhttp_listen = \"127.0.0.1:8815\"\n").contains("the same address"));
    }
}
