use super::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// A folder with credentials of all kinds, and the text of a valid file that names it.
fn fixture() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for key in [
        "username",
        "password",
        "clientId",
        "clientSecret",
        "accessKeyId",
        "secretAccessKey",
    ] {
        fs::write(folder.path().join(key), format!("the-{key}\n")).unwrap();
    }
    let at = folder.path().display();
    let text = format!(
        "installationId: prod-eu\nbaseDomain: plexica.example.com\nregistry: blue\npostgres:\n- name: blue\n  capacity: 10\n  credentials: {at}\n  host: db\n  database: plexica\n  tls: VerifyFull\nkeycloak:\n- name: green\n  capacity: 10\n  credentials: {at}\n  url: https://id.example.com\ns3:\n- name: red\n  capacity: 10\n  credentials: {at}\n  driver: Minio\n  endpoint: https://s3.example.com\n"
    );
    (folder, text)
}

fn refusal(change: impl Fn(&str) -> String) -> String {
    let (_folder, text) = fixture();
    Reader {
        path: Path::new("platform.yaml"),
    }
    .parse(&change(&text))
    .unwrap_err()
    .to_string()
}

#[test]
fn a_valid_file_is_read_with_its_credentials() {
    let (_folder, text) = fixture();
    let platform = Reader {
        path: Path::new("platform.yaml"),
    }
    .parse(&text)
    .unwrap();
    assert_eq!(platform.postgres[0].password.expose_secret(), "the-password");
    assert_eq!(platform.keycloak[0].issuer_url.as_str(), "https://id.example.com/");
    assert!(!format!("{platform:?}").contains("the-password"));
}

#[test]
fn a_wrong_file_is_refused_with_line_and_reason() {
    for (from, to, expected) in [
        (
            "registry: blue",
            "registry: purple",
            "line 3: registry names a postgres pool",
        ),
        ("prod-eu", "Prod EU", "line 1: installationId has"),
        (
            "https://id.example.com",
            "id.example.com",
            "line 15: `id.example.com` is no http",
        ),
        ("database: plexica", "database: plexica\n  databse: x", "databse"),
        (
            "baseDomain: plexica.example.com",
            "baseDomain: https://x.y/",
            "line 2: baseDomain is a domain",
        ),
        ("capacity: 10", "capacity: many", "line 6"),
        (
            "registry: blue",
            "registry: blue\nplugins:\n  Crm: {configuration: {}}",
            "line 5",
        ),
        (
            "registry: blue",
            "registry: blue\nplugins:\n  crm: {config: {}}",
            "line 5",
        ),
        (
            "registry: blue",
            "registry: blue\ngateway: {namespace: edge, name: plexica, listener: http}",
            "listener",
        ),
        ("registry: blue", "registry: blue\ngateway: {namespace: edge}", "name"),
        (
            "registry: blue",
            "registry: blue\ngateway: {namespace: \"\", name: plexica}",
            "line 4: a Gateway is in a namespace",
        ),
    ] {
        let text = refusal(|file| file.replacen(from, to, 1));
        assert!(text.contains(expected), "{expected} is missing in: {text}");
    }
}

#[test]
fn a_gateway_is_optional_and_serves_with_tls_from_its_own_namespace_unless_said_otherwise() {
    let gateway = |line: &str| {
        let (_folder, text) = fixture();
        let text = text.replacen("registry: blue", &format!("registry: blue\n{line}"), 1);
        let path = Path::new("platform.yaml");
        Reader { path }.parse(&text).unwrap().gateway
    };
    assert_eq!(gateway("resyncInterval: 1m"), None);
    let short = Gateway {
        namespace: "edge".to_owned(),
        name: "plexica".to_owned(),
        section_name: None,
        scheme: Scheme::Https,
        pods_in: "edge".to_owned(),
    };
    assert_eq!(
        gateway("gateway: {namespace: edge, name: plexica}"),
        Some(short.clone())
    );
    let long = Gateway {
        section_name: Some("public".to_owned()),
        scheme: Scheme::Http,
        pods_in: "envoy".to_owned(),
        ..short
    };
    assert_eq!(
        gateway("gateway: {namespace: edge, name: plexica, sectionName: public, scheme: Http, podsIn: envoy}"),
        Some(long)
    );
}

#[test]
fn a_pool_named_twice_is_refused_where_it_is_named_again() {
    let text = refusal(|file| {
        let at = file.find("- name: blue").unwrap();
        let end = file.find("keycloak:").unwrap();
        format!("{}{}{}", &file[..end], &file[at..end], &file[end..])
    });
    assert!(text.contains("line 11: postgres pool `blue` is named twice"), "{text}");
}

#[test]
fn a_missing_credential_is_named() {
    let (folder, text) = fixture();
    fs::remove_file(folder.path().join("clientSecret")).unwrap();
    let error = Reader {
        path: Path::new("platform.yaml"),
    }
    .parse(&text)
    .unwrap_err()
    .to_string();
    assert!(error.contains("line 14") && error.contains("clientSecret"), "{error}");
}

#[test]
fn the_platform_may_say_something_over_a_plugins_defaults() {
    let (_folder, text) = fixture();
    let platform = Reader {
        path: Path::new("platform.yaml"),
    }
    .parse(&format!(
        "{text}plugins:\n  crm:\n    configuration:\n      pageSize: 50\n"
    ))
    .unwrap();
    let overrides = &platform.plugins[&PluginId::parse("crm").unwrap()];
    assert_eq!(overrides.configuration["pageSize"], 50);
}
