//! Keys and certificates of the cluster, in the folder `pki` of the state: one authority, and a certificate for each
//! client and server.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::host::network::{KUBERNETES_SERVICE, NODE};
use crate::layout::{self, Layout};
use crate::parts::kubernetes::{API_PORT, NODE_NAME};

/// The files of one certificate.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Who a client certificate speaks for: its common name and, optionally, its group.
struct Identity {
    file: &'static str,
    user: &'static str,
    group: Option<&'static str>,
}

const CLIENTS: &[Identity] = &[
    Identity {
        file: "admin",
        user: "stack-admin",
        group: Some("system:masters"),
    },
    Identity {
        file: "kube-apiserver-kubelet-client",
        user: "kube-apiserver",
        group: Some("system:masters"),
    },
    Identity {
        file: "kube-controller-manager",
        user: "system:kube-controller-manager",
        group: None,
    },
    Identity {
        file: "kube-scheduler",
        user: "system:kube-scheduler",
        group: None,
    },
    Identity {
        file: "kube-proxy",
        user: "system:kube-proxy",
        group: None,
    },
    Identity {
        file: "kubelet",
        user: "system:node:node0",
        group: Some("system:nodes"),
    },
    Identity {
        file: "coredns",
        user: "system:coredns",
        group: None,
    },
    Identity {
        file: "contour",
        user: "contour",
        group: None,
    },
];

/// The files of the certificate `name`.
pub fn pair(layout: &Layout, name: &str) -> Pair {
    let folder = layout.state.join("pki");
    Pair {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    }
}

/// The kubeconfig of a client; the administrator's lies at the top of the state.
pub fn kubeconfig(layout: &Layout, client: &str) -> PathBuf {
    match client {
        "admin" => layout.kubeconfig(),
        _ => layout.state.join("pki").join(format!("{client}.kubeconfig")),
    }
}

/// Makes what is not there: of a stack that older sources have made, the clients that came since.
pub fn create(layout: &Layout) -> Result<()> {
    let authority = authority(layout)?;
    let complete = layout.state.join("pki/complete");
    if !complete.exists() {
        create_servers(layout, &authority)?;
        layout::write(&complete, b"")?;
    }
    for Identity { file, user, group } in CLIENTS {
        if !kubeconfig(layout, file).exists() {
            issue(layout, &authority, file, Vec::new(), name(user, *group), true)?;
            write_kubeconfig(layout, file)?;
        }
    }
    Ok(())
}

/// The authority, made when its key is not there.
fn authority(layout: &Layout) -> Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name("plexica-dev", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = if let Ok(pem) = std::fs::read_to_string(pair(layout, "ca").key) {
        KeyPair::from_pem(&pem).context("the authority's key does not read")?
    } else {
        let key = KeyPair::generate()?;
        write(layout, "ca", &params.self_signed(&key)?.pem(), &key)?;
        key
    };
    Ok(Issuer::new(params, key))
}

/// Certificates of the servers, and the key of the service accounts.
fn create_servers(layout: &Layout, authority: &Issuer<'_, KeyPair>) -> Result<()> {
    let services = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut names: Vec<String> = services.map(Into::into).into();
    names.extend([
        "localhost".into(),
        "127.0.0.1".into(),
        NODE.to_string(),
        KUBERNETES_SERVICE.to_string(),
    ]);
    issue(
        layout,
        authority,
        "kube-apiserver",
        names,
        name("kube-apiserver", None),
        false,
    )?;
    let names = vec![NODE_NAME.to_owned(), NODE.to_string()];
    issue(layout, authority, "kubelet-server", names, name(NODE_NAME, None), false)?;

    let tokens = KeyPair::generate()?;
    layout::write_private(&pair(layout, "service-accounts").key, tokens.serialize_pem().as_bytes())?;
    layout::write(
        &pair(layout, "service-accounts").certificate,
        tokens.public_key_pem().as_bytes(),
    )
}

fn issue(
    layout: &Layout,
    authority: &Issuer<'_, KeyPair>,
    file: &str,
    names: Vec<String>,
    subject: DistinguishedName,
    client: bool,
) -> Result<()> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if client {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    write(layout, file, &certificate.pem(), &key)
}

fn name(common: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}

fn write(layout: &Layout, file: &str, certificate: &str, key: &KeyPair) -> Result<()> {
    let pair = pair(layout, file);
    layout::write(&pair.certificate, certificate.as_bytes())?;
    layout::write_private(&pair.key, key.serialize_pem().as_bytes()).context("cannot write a key")
}

/// JSON is YAML; certificates are inside, so that the file works wherever it is copied.
fn write_kubeconfig(layout: &Layout, client: &str) -> Result<()> {
    use base64::Engine as _;
    let inline = |file: &PathBuf| -> Result<String> {
        Ok(base64::engine::general_purpose::STANDARD.encode(std::fs::read(file)?))
    };
    let Pair { certificate, key } = pair(layout, client);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "plexica-dev", "cluster": {
            "server": format!("https://{NODE}:{API_PORT}"),
            "certificate-authority-data": inline(&pair(layout, "ca").certificate)?,
        }}],
        "users": [{ "name": client, "user": {
            "client-certificate-data": inline(&certificate)?,
            "client-key-data": inline(&key)?,
        }}],
        "contexts": [{ "name": "plexica-dev", "context": { "cluster": "plexica-dev", "user": client } }],
        "current-context": "plexica-dev",
    });
    layout::write_private(&kubeconfig(layout, client), &serde_json::to_vec_pretty(&config)?)
}
