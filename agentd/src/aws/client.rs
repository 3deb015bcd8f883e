//! How every client of the SDK is set up: one try, no surprises, and the agent's own transport.

/// The configuration of a client of the crate `$sdk`, which each crate has as a type of its own. Nothing is retried here,
/// because whoever asks decides that; an endpoint is used where one is set.
macro_rules! client_config {
    ($sdk:ident, $region:expr, $endpoint:expr, $settings:expr, $credentials:expr, $transport:expr, $limit:expr) => {{
        use $sdk::config::retry::RetryConfig;
        use $sdk::config::timeout::TimeoutConfig;
        use $sdk::config::{
            AppName, BehaviorVersion, Config, Region, StalledStreamProtectionConfig,
        };
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new($region.as_str().to_owned()))
            .credentials_provider($credentials)
            .http_client($transport)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout($limit).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .use_fips($settings.fips)
            .use_dual_stack($settings.dual_stack);
        if let Ok(name) = AppName::new(concat!("agentd-", env!("CARGO_PKG_VERSION"))) {
            config = config.app_name(name);
        }
        if let Some(endpoint) = $endpoint {
            config = config.endpoint_url(endpoint);
        }
        config.build()
    }};
}

pub(super) use client_config;
