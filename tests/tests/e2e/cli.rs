//! The `skein` binary as people and scripts use it.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::process::{Served, binary, code, skein, stderr, stdout, with_stdin};

#[test]
fn serve_says_how_to_connect_and_drains_on_sigterm() {
    let server = Served::start();
    for expected in ["pyarrow.flight.connect(", "adbc_driver_flightsql", "polars.read_database", "login    none"] {
        assert!(server.banner.contains(expected), "{}", server.banner);
    }
    assert_eq!(server.csv("SELECT 40 + 2 AS answer"), "answer\n42\n");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn results_come_in_every_format() {
    let server = Served::start();
    let sql = "SELECT 1 AS id, 'a,b' AS name UNION ALL SELECT 2, NULL ORDER BY id";
    assert_eq!(server.csv(sql), "id,name\n1,\"a,b\"\n2,\n");
    let json = server.run(&["sql", "-F", "json", sql]);
    assert_eq!(json, "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2,\"name\":null}\n");
    let table = server.run(&["sql", sql]);
    assert!(table.contains("│ a,b  │") && table.ends_with("2 rows\n"), "{table}");
    for (file, magic) in [("out.parquet", "PAR1"), ("out.arrow", "ARROW1")] {
        assert_eq!(server.run(&["sql", sql, "-o", file]), "");
        assert!(std::fs::read(server.folder.path().join(file)).unwrap().starts_with(magic.as_bytes()));
    }
    // What was written comes in again.
    server.run(&["ingest", "out.parquet", "out.arrow", "--into", "again", "--quiet"]);
    assert_eq!(server.csv("SELECT count(*) AS n, sum(id) AS s FROM again"), "n,s\n4,6\n");
    // A query that fails leaves no file.
    server.fail(1, &["sql", "SELECT 1 / (id - 1) FROM (VALUES (1)) t(id)", "-o", "bad.csv"]);
    assert!(!server.folder.path().join("bad.csv").exists() && !server.folder.path().join("bad.csv.part").exists());
}

#[test]
fn statements_come_from_arguments_files_and_stdin() {
    let server = Served::start();
    let made =
        server.run(&["sql", "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2); SELECT sum(a) AS s FROM t"]);
    assert!(made.contains("2 rows affected") && made.contains('3'), "{made}");
    let file = server.write("q.sql", "-- a comment; with a semicolon\nSELECT ';' AS x;\n");
    assert_eq!(server.run(&["sql", "-F", "csv", "-f", &file]), "x\n;\n");
    let piped = with_stdin(&mut server.command(&["sql", "-F", "csv"]), "SELECT count(*) AS n FROM t");
    assert_eq!(stdout(&piped), "n\n2\n");
    assert_eq!(server.run(&["sql", "-F", "csv", "-p", "1", "SELECT count(*) AS n FROM t WHERE a > $1"]), "n\n1\n");
    assert_eq!(server.run(&["sql", "-F", "csv", "-p", "7", "INSERT INTO t VALUES (?)"]), "");
    assert_eq!(server.csv("SELECT max(a) AS m FROM t"), "m\n7\n");
    let failed = server.fail(5, &["sql", "SELECT 1; SELECT * FROM nothing; SELECT 2"]);
    assert!(failed.contains("statement 2 of 3"), "{failed}");
}

#[test]
fn failures_say_what_happened_what_to_do_and_have_exit_codes() {
    let server = Served::start();
    server.csv("CREATE TABLE flights (a BIGINT)");
    let missing = server.fail(5, &["sql", "SELECT * FROM flihgts"]);
    assert!(missing.starts_with("error: ") && missing.contains("flihgts") && missing.contains("\nhint: "), "{missing}");
    assert_eq!(missing.lines().count(), 2, "{missing}");
    for (sql, cause, hint) in [
        ("SELECT * FROM flihgts", "table 'public.flihgts' does not exist", "did you mean 'public.flights'?"),
        (
            "SELECT * FROM sales.x",
            "table 'sales.x' does not exist, and neither does the schema 'sales'",
            "there are: public",
        ),
        ("SELECT * FROM system.querys", "table 'system.querys' does not exist", "did you mean 'system.queries'?"),
        (
            "SELECT * FROM generate_seris(1, 2)",
            "table function 'generate_seris' does not exist",
            "did you mean 'generate_series'?",
        ),
    ] {
        let said = server.fail(5, &["sql", sql]);
        assert_eq!(said, format!("error: {cause}\nhint: {hint}\n"));
    }
    for (sql, cause, hint) in [
        ("SELECT aa FROM flights", "column 'aa' does not exist", "there are a"),
        (
            "SELECT f.carier FROM (SELECT 1 AS carrier) f",
            "column 'f.carier' does not exist",
            "did you mean 'f.carrier'?",
        ),
        ("SELECT uper('x')", "function 'uper' does not exist", "did you mean 'upper'?"),
        ("SELECT count_distnct(1)", "function 'count_distnct' does not exist", "SHOW FUNCTIONS lists them"),
    ] {
        let said = server.fail(1, &["sql", sql]);
        assert_eq!(said, format!("error: {cause}\nhint: {hint}\n"));
    }
    // What is refused is not a matter of who asks.
    let reserved = server.fail(4, &["sql", "COPY flights TO 'tables/x.csv' STORED AS CSV"]);
    assert!(reserved.contains("name another folder") && !reserved.contains("log in"), "{reserved}");
    server.fail(1, &["sql", "SELEKT 1"]);
    server.fail(2, &["sql", ""]);
    server.fail(2, &["nonsense"]);
    server.fail(2, &["drop", "flights"]);
    server.fail(6, &["sql", "CREATE TABLE flights (a BIGINT)"]);
    server.fail(5, &["describe", "nothing"]);
    server.fail(5, &["ingest", "/no/such/file.csv", "--into", "x"]);
    let nobody = skein(&["ls", "--url", "grpc://127.0.0.1:1"]).output().unwrap();
    assert_eq!(code(&nobody), 3);
    assert!(
        stderr(&nobody).contains("cannot connect to grpc://127.0.0.1:1") && stderr(&nobody).contains("skein serve")
    );
}

#[test]
fn files_folders_patterns_and_stdin_come_in() {
    let server = Served::start();
    server.write("data/a.csv", "id,name\n1,x\n2,y\n");
    server.write("data/sub/b.csv", "id,name\n3,z\n");
    server.write("data/readme.md", "not data");
    let said = server.run(&["ingest", "data", "--into", "t"]);
    assert!(said.contains("data/a.csv: 2 rows into public.t") && said.contains("2 of 2 files, 3 rows added"), "{said}");
    let again = server.run(&["ingest", "data/*.csv", "--into", "t"]);
    assert!(again.contains("nothing added"), "{again}");
    server.run(&["ingest", "data/a.csv", "--into", "t", "--force"]);
    let piped =
        with_stdin(&mut server.command(&["ingest", "-", "--into", "t", "--format", "csv"]), "id,name\n9,stdin\n");
    assert_eq!(code(&piped), 0, "{}", stderr(&piped));
    assert_eq!(server.csv("SELECT count(*) AS n FROM t"), "n\n6\n");
    let no_schema = server.fail(5, &["ingest", "data/a.csv", "--into", "s.u"]);
    let advice = "\nhint: create it first: skein sql 'CREATE SCHEMA \"s\"'\n";
    assert!(no_schema.contains("schema 's' does not exist") && no_schema.ends_with(advice), "{no_schema}");
    server.run(&["sql", "CREATE SCHEMA s"]);
    let json = server.run(&["ingest", "data/a.csv", "--into", "s.u", "--mode", "create", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["dataset"].as_str(), report["rows"].as_u64()), (Some("s.u"), Some(2)));
    server.fail(6, &["ingest", "data/a.csv", "--into", "s.u", "--mode", "create", "--force"]);
    server.run(&["ingest", "data/sub/b.csv", "--into", "t", "--mode", "replace", "--force"]);
    assert_eq!(server.csv("SELECT count(*) AS n FROM t"), "n\n1\n");
}

#[test]
fn bad_rows_and_bad_files_are_the_callers_choice() {
    let server = Served::start();
    server.write("dirty.csv", "id,name\n1,x\ntwo,y\n3,z\n");
    server.write("good.csv", "id,name\n4,w\n");
    let typed = ["--type", "id=bigint"];
    let failed = server.fail(1, &[&["ingest", "dirty.csv", "--into", "t"], &typed[..]].concat());
    assert!(failed.contains('3') && failed.contains("id") && failed.contains("two"), "{failed}");
    server.fail(5, &["sql", "SELECT * FROM t"]);
    let both = ["ingest", "dirty.csv", "good.csv", "--into", "t", "--type", "id=bigint"];
    let stopped = server.fail(1, &both);
    assert!(stopped.contains("dirty.csv") && stopped.contains("0 of 2 files"), "{stopped}");
    server.fail(1, &[&both[..], &["--keep-going"]].concat());
    assert_eq!(server.csv("SELECT id FROM t"), "id\n4\n");
    let output =
        server.command(&["ingest", "dirty.csv", "--into", "t", "--on-bad-row", "skip", "--type", "id=bigint"]).output();
    let output = output.unwrap();
    assert!(stdout(&output).contains("1 row skipped") && stderr(&output).contains("two"), "{output:?}");
    assert_eq!(server.csv("SELECT count(*) AS n FROM t"), "n\n3\n");
}

#[test]
fn tables_are_listed_described_and_dropped() {
    let server = Served::start();
    server.csv("CREATE TABLE \"Mixed.Case\" (\"Id\" BIGINT NOT NULL, name TEXT)");
    server.csv("CREATE TABLE t AS SELECT 1 AS a");
    server.csv("INSERT INTO t VALUES (2)");
    server.csv("CREATE VIEW v AS SELECT * FROM t");
    let list = server.run(&["ls", "-F", "csv"]);
    assert!(list.contains("public,Mixed.Case,dataset,0") && list.contains("public,t,dataset,2"), "{list}");
    assert!(list.contains("public,v,view,"), "{list}");
    let columns = server.run(&["describe", "\"Mixed.Case\"", "-F", "csv"]);
    assert_eq!(columns, "column,type,nullable\nId,int64,no\nname,text,yes\n");
    assert!(server.run(&["describe", "t"]).contains("rows        2"));
    let history = server.run(&["history", "t", "-F", "csv"]);
    assert!(history.lines().count() >= 3 && history.starts_with("version,"), "{history}");
    assert_eq!(server.run(&["history", "t", "-n", "1", "-F", "csv"]).lines().count(), 2);
    server.fail(5, &["history", "v"]);
    server.fail(1, &["drop", "v", "--kind", "dataset", "--yes"]);
    assert_eq!(server.run(&["drop", "v", "--yes"]), "dropped public.v\n");
    server.fail(5, &["drop", "v", "--yes"]);
    assert_eq!(server.run(&["drop", "v", "--yes", "--if-exists"]), "there is no public.v\n");
}

#[test]
fn actions_take_and_give_json() {
    let server = Served::start();
    let list = server.run(&["actions"]);
    for name in ["dataset.verify", "user.create", "query.cancel"] {
        assert!(list.contains(name), "{list}");
    }
    let answer = server.run(&["action", "dataset.gc", "{\"dry_run\": true}"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&answer).unwrap()["dry_run"], true);
    let request = server.write("r.json", "{}");
    server.run(&["action", "bucket.probe", &format!("@{request}")]);
    server.fail(2, &["action", "bucket.probe", "{"]);
    assert!(server.fail(1, &["action", "dataset.gc", "{\"dri_run\": true}"]).contains("dri_run"));
}

#[test]
fn users_and_tokens_log_in() {
    let server = Served::start();
    let create = ["user", "create", "ada", "--admin", "--password-stdin"];
    let output = with_stdin(&mut server.command(&create), "a long password\n");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let refused = server.fail(4, &["sql", "SELECT 1"]);
    assert!(refused.contains("SKEIN_TOKEN"), "{refused}");
    let as_ada = |arguments: &[&str]| {
        let mut command = server.command(arguments);
        command.env("SKEIN_USER", "ada").env("SKEIN_PASSWORD", "a long password");
        command.output().unwrap()
    };
    assert_eq!(stdout(&as_ada(&["sql", "-F", "csv", "SELECT 1 AS x"])), "x\n1\n");
    let wrong = server.command(&["ls"]).env("SKEIN_USER", "ada").env("SKEIN_PASSWORD", "wrong").output().unwrap();
    assert_eq!(code(&wrong), 4);
    let created = as_ada(&["token", "create", "--label", "test", "--expires", "1h"]);
    let (token, note) = (stdout(&created), stderr(&created));
    assert!(token.starts_with("skein_") && token.lines().count() == 1 && note.contains("expires at"), "{note}");
    let with_token =
        || server.command(&["sql", "-F", "csv", "SELECT 1 AS x"]).env("SKEIN_TOKEN", token.trim()).output().unwrap();
    assert_eq!(stdout(&with_token()), "x\n1\n");
    let list = stdout(&as_ada(&["token", "list", "-F", "csv"]));
    assert!(list.contains("test") && !list.contains(token.trim()), "{list}");
    let id = note.split_whitespace().nth(1).unwrap().trim_end_matches(':').to_owned();
    assert_eq!(code(&as_ada(&["token", "revoke", &id])), 0);
    assert_eq!(code(&with_token()), 4);
    assert!(stdout(&as_ada(&["user", "list"])).contains("ada"));
    let mut change = server.command(&["user", "set-password", "ada"]);
    change
        .env("SKEIN_USER", "ada")
        .env("SKEIN_PASSWORD", "a long password")
        .env("SKEIN_NEW_PASSWORD", "another password");
    assert_eq!(code(&change.output().unwrap()), 0);
    assert_eq!(code(&as_ada(&["ls"])), 4);
}

#[test]
fn a_deleted_user_and_their_tokens_log_in_no_more() {
    let server = Served::start();
    let password = "a long password";
    let create = ["user", "create", "ada", "--admin", "--password-stdin"];
    assert_eq!(code(&with_stdin(&mut server.command(&create), "a long password\n")), 0);
    let as_user = |name: &str, arguments: &[&str]| {
        server.command(arguments).env("SKEIN_USER", name).env("SKEIN_PASSWORD", password).output().unwrap()
    };
    let mut create = server.command(&["user", "create", "grace"]);
    create.env("SKEIN_USER", "ada").env("SKEIN_PASSWORD", password).env("SKEIN_NEW_PASSWORD", password);
    assert_eq!(code(&create.output().unwrap()), 0);
    let token = stdout(&as_user("grace", &["token", "create", "--label", "test"]));
    let with_token = || code(&server.command(&["ls"]).env("SKEIN_TOKEN", token.trim()).output().unwrap());
    assert_eq!((with_token(), code(&as_user("grace", &["ls"]))), (0, 0));

    let refused = as_user("grace", &["user", "delete", "ada"]);
    assert_eq!(code(&refused), 4, "{}", stderr(&refused));
    let deleted = as_user("ada", &["user", "delete", "grace"]);
    assert_eq!(code(&deleted), 0, "{}", stderr(&deleted));
    assert_eq!((with_token(), code(&as_user("grace", &["ls"]))), (4, 4));
    assert!(!stdout(&as_user("ada", &["user", "list"])).contains("grace"));
    assert_eq!(code(&as_user("ada", &["user", "delete", "grace"])), 5);
    assert_eq!(code(&as_user("ada", &["user", "delete", "grace", "--if-exists"])), 0);
}

#[test]
fn damage_is_found() {
    let server = Served::start();
    server.csv("CREATE TABLE t AS SELECT 1 AS a");
    let tables = server.folder.path().join("data/tables");
    let data = std::fs::read_dir(tables).unwrap().map(|entry| entry.unwrap().path().join("data"));
    let file = data.flat_map(|folder| std::fs::read_dir(folder).unwrap()).next().unwrap().unwrap().path();
    server.csv("CREATE TABLE gone AS SELECT 1 AS a");
    server.csv("DROP TABLE gone");
    let clean = server.run(&["verify", "--deep"]);
    assert!(clean.contains("nothing is wrong") && clean.contains("to be collected after"), "{clean}");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    let output = server.command(&["verify", "--deep"]).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("public.t") && stdout(&output).contains("1 finding"), "{}", stdout(&output));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let server = Served::start();
    let sql = "SELECT * FROM generate_series(1, 3000000)";
    for format in ["csv", "json", "table", "arrow"] {
        let mut command = server.command(&["sql", "-F", format, sql]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0u8; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{format}");
    }
}

#[test]
fn configuration_mistakes_come_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skein.toml");
    std::fs::write(&file, "[server]\nlisen = 1\n[query]\nmemory = \"lots\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["config", "check", "-c", file][..], &["serve", "-c", file]] {
        let output = skein(arguments).env("SKEIN__TLS__CERT", "/no/cert.pem").output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}");
        let text = stderr(&output);
        for expected in
            ["skein.toml:2: server.lisen", "did you mean \"listen\"", "skein.toml:4: query.memory", "SKEIN__TLS__CERT"]
        {
            assert!(text.contains(expected), "{text}");
        }
    }
    std::fs::write(file, "[server]\nticket_secret = \"0123456789abcdef0123456789abcdef\"\n").unwrap();
    let printed = skein(&["config", "print", "-c", file, "--set", "query.memory=4GiB"]).output().unwrap();
    let text = stdout(&printed);
    assert!(text.contains("memory = \"4GiB\"") && text.contains("--set query.memory=4GiB"), "{text}");
    assert!(text.contains("ticket_secret = \"********\"") && !text.contains("0123456789abcdef"), "{text}");
    let exposed = skein(&["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(code(&exposed), 2);
    assert!(stderr(&exposed).contains("allow_insecure_remote"), "{}", stderr(&exposed));
}

#[test]
fn help_teaches_and_completions_complete() {
    let help = skein(&["ingest", "--help"]).output().unwrap();
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).contains("Examples:") && stdout(&help).contains("skein ingest flights.csv --into flights"));
    assert_eq!(code(&skein(&[]).output().unwrap()), 2);
    for shell in ["bash", "zsh", "fish"] {
        let script = skein(&["completions", shell]).output().unwrap();
        assert!(stdout(&script).contains("ingest"), "{shell}");
    }
    assert!(stdout(&skein(&["version"]).output().unwrap()).starts_with("skein 0."));
}

/// What the shell shows while keys are pressed, on a terminal of its own.
fn shell(server: &Served, keys: &[(&str, u64)]) -> String {
    let mut command = server.command(&[]);
    // Without `exec` the shell in between would end by the Ctrl-C, too.
    let line = format!("exec {} sql", binary().display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).env_clear();
    for (name, value) in
        command.env("TERM", "xterm").env("SKEIN_HISTORY", server.folder.path().join("history")).get_envs()
    {
        if let Some(value) = value {
            terminal.env(name, value);
        }
    }
    terminal.env("PATH", std::env::var_os("PATH").unwrap()).env("NO_COLOR", "1");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    for (text, wait) in keys {
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
        std::thread::sleep(Duration::from_millis(*wait));
    }
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {shown}");
    shown
}

#[test]
fn the_shell_runs_statements_over_several_lines_and_commands() {
    let server = Served::start();
    server.csv("CREATE TABLE birds (name TEXT)");
    let keys = [
        ("SELECT 40\r", 300),
        ("+ 2 AS answer;\r", 1500),
        ("\\dt\r", 1500),
        ("\\format csv\r", 500),
        ("SELECT 'a;b' AS x;\r", 1500),
        ("SELECT * FROM bir\t;\r", 1500),
        ("SELECT nonsense;\r", 1500),
        ("\\d birds\r", 1500),
        ("\\q\r", 500),
    ];
    let shown = shell(&server, &keys);
    for expected in ["│     42 │", "birds", "a;b", "error: ", "name,text,yes"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let history = std::fs::read_to_string(server.folder.path().join("history")).unwrap();
    assert!(history.contains("SELECT * FROM birds"), "{history}");
}

#[test]
fn ctrl_c_cancels_the_statement_and_not_the_shell() {
    let server = Served::start();
    let long = "SELECT count(*) FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 10000000) b WHERE a.value * b.value = -1;\r";
    let shown = shell(&server, &[(long, 2000), ("\x03", 1500), ("SELECT 6 * 7 AS x;\r", 2000), ("\\q\r", 500)]);
    assert!(shown.contains("error: cancelled") && shown.contains("│    42 │"), "{shown}");
    let running = server.csv("SELECT count(*) AS n FROM system.queries WHERE state = 'running' AND sql LIKE '%CROSS JOIN%' AND sql NOT LIKE '%system.queries%'");
    assert_eq!(running, "n\n0\n");
}

/// An authority, a certificate for 127.0.0.1 that it signed, and the folder with their files.
fn certificates() -> TempDir {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn tls_and_client_certificates() {
    let folder = certificates();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let set = |setting: &str, path: &str| format!("{setting}={path}");
    let (cert_set, key_set, ca_set) = (set("tls.cert", &cert), set("tls.key", &key), set("tls.client_ca", &ca));
    let server = Served::start_with(&["--set", &cert_set, "--set", &key_set]);
    assert!(server.url.starts_with("grpc+tls://"), "{}", server.banner);
    assert_eq!(server.run(&["sql", "-F", "csv", "SELECT 1 AS x", "--ca", &ca]), "x\n1\n");
    server.fail(3, &["sql", "SELECT 1"]);
    server.fail(3, &["sql", "SELECT 1", "--url", &server.url.replace("grpc+tls", "grpc")]);
    drop(server);
    let required = "tls.require_client_cert=true";
    let server = Served::start_with(&["--set", &cert_set, "--set", &key_set, "--set", &ca_set, "--set", required]);
    server.fail(3, &["sql", "SELECT 1", "--ca", &ca]);
    let known = ["sql", "-F", "csv", "SELECT 1 AS x", "--ca", &ca, "--cert", &cert, "--key", &key];
    assert_eq!(server.run(&known), "x\n1\n");
}
