//! How the environment sets up the AWS side.

use super::*;
use crate::aws::testec2::{Fake, World};

fn settings(pairs: &[(&str, &str)]) -> Result<CloudSettings, CloudError> {
    CloudSettings::from_env(|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_default_is_the_real_aws() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.imds.to_string(), "http://169.254.169.254");
    assert_eq!(
        settings.ec2,
        Ec2Settings { endpoint: None, region: None, fips: false, dual_stack: false }
    );
    assert_eq!(settings.transport.ca_bundle, None);
}

#[test]
fn the_special_variable_wins_over_the_general_one() {
    let general = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let special = ("AWS_ENDPOINT_URL_EC2", "https://ec2.example");
    assert_eq!(settings(&[general]).unwrap().ec2.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(
        settings(&[general, special]).unwrap().ec2.endpoint.as_deref(),
        Some("https://ec2.example")
    );
    let own = ("AWS_ENDPOINT_URL_AUTO_SCALING", "https://group.example");
    let both = settings(&[general, own]).unwrap();
    assert_eq!(both.auto_scaling.as_deref(), Some("https://group.example"));
    assert_eq!(both.ec2.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(settings(&[special]).unwrap().auto_scaling, None);
    let region =
        settings(&[("AWS_REGION", "eu-west-1"), ("AWS_CA_BUNDLE", "/etc/ca.pem")]).unwrap();
    assert_eq!(region.ec2.region.unwrap().as_str(), "eu-west-1");
    assert_eq!(region.transport.ca_bundle, Some(PathBuf::from("/etc/ca.pem")));
}

#[test]
fn nonsense_is_named() {
    for pair in [
        ("AWS_ENDPOINT_URL", "ftp://x"),
        ("AWS_ENDPOINT_URL_EC2", "::"),
        ("AWS_ENDPOINT_URL_AUTO_SCALING", "group"),
        ("AWS_REGION", "Frankfurt"),
    ] {
        let error = settings(&[pair]).unwrap_err();
        assert!(error.to_string().contains(pair.0), "{error}");
    }
}

#[tokio::test]
async fn the_client_is_kept_while_the_identity_stays() {
    let fake = Fake::start(World::default()).await;
    let identity = fake.cloud.identify().await.unwrap();
    assert!(Arc::ptr_eq(&fake.cloud.ec2(&identity), &fake.cloud.ec2(&identity)));
    let other = Identity { region: Region::parse("us-east-1").unwrap(), ..identity.clone() };
    assert!(!Arc::ptr_eq(&fake.cloud.ec2(&identity), &fake.cloud.ec2(&other)));
}

#[test]
fn nothing_secret_is_shown() {
    let cloud = testec2::cloud("http://127.0.0.1:1", "http://127.0.0.1:1");
    assert!(!format!("{cloud:?}{:?}", cloud.credentials()).contains("hush"));
}
