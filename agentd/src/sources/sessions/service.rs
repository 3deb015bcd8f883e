//! Servers that people start on a terminal: they wait for requests and do nothing by themselves.
//!
//! A job in the foreground is waited for for hours, because somebody waits for its result. A server has none: who uses it is seen by
//! connections, CPU and GPU. Which process listens on a socket cannot be told without capabilities (`/proc/PID/fd` is closed, and
//! the control group of a terminal multiplexer holds everything that runs in it), so servers are told by their names and the
//! words that make a program one. An unknown one stays a job, which only makes the machine wait longer.

/// Programs that are servers whatever their arguments say.
const SERVERS: [&str; 27] = [
    "tensorboard", "uvicorn", "gunicorn", "hypercorn", "daphne", "waitress-serve", "tritonserver", "trtllm-serve",
    "text-generation-launcher", "llama-server", "voila", "http-server", "live-server", "json-server", "nginx", "httpd", "apache2",
    "caddy", "redis-server", "valkey-server", "mongod", "mysqld", "mariadbd", "postgres", "memcached", "aim-server", "ngrok",
];

/// Modules of Python that are servers (`python -m`).
const MODULES: [&str; 11] = [
    "http.server",
    "SimpleHTTPServer",
    "tensorboard",
    "tensorboard.main",
    "uvicorn",
    "gunicorn",
    "vllm.entrypoints.openai.api_server",
    "vllm.entrypoints.api_server",
    "sglang.launch_server",
    "llama_cpp.server",
    "pyftpdlib",
];

/// Programs that are servers with one of these words as their verb.
const VERBS: [(&str, &[&str]); 24] = [
    ("streamlit", &["run"]),
    ("vllm", &["serve"]),
    ("ollama", &["serve"]),
    ("lmdeploy", &["serve"]),
    ("bentoml", &["serve"]),
    ("mlflow", &["server", "ui"]),
    ("flask", &["run"]),
    ("fastapi", &["run", "dev"]),
    ("bokeh", &["serve"]),
    ("panel", &["serve"]),
    ("chainlit", &["run"]),
    ("marimo", &["edit", "run"]),
    ("aim", &["up", "server"]),
    ("mkdocs", &["serve"]),
    ("jekyll", &["serve"]),
    ("hugo", &["server", "serve"]),
    ("rails", &["server", "s"]),
    ("php", &["-S"]),
    ("next", &["dev", "start"]),
    ("vite", &["", "dev", "serve", "preview"]),
    ("ng", &["serve"]),
    ("airflow", &["standalone", "webserver", "scheduler", "api-server"]),
    ("prefect", &["server"]),
    ("dagster", &["dev"]),
];

/// Runners of a project's scripts, and the scripts that are servers by custom.
const RUNNERS: [&str; 4] = ["npm", "yarn", "pnpm", "bun"];
const SCRIPTS: [&str; 4] = ["dev", "serve", "preview", "storybook"];

/// Whether a command is a server.
pub(super) fn is_server(words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let name = base(first);
    if name.starts_with("python") {
        return of_python(rest);
    }
    if ["node", "nodejs", "ruby", "bun"].contains(&name)
        && let Some(at) = rest.iter().position(|word| !word.starts_with('-'))
        && let Some(script) = rest.get(at..)
        && is_named(script)
    {
        return true;
    }
    is_named(words)
}

/// A module, a script with a server's name, or `manage.py runserver`.
fn of_python(rest: &[&str]) -> bool {
    let mut words = rest;
    while let Some((word, further)) = words.split_first() {
        match *word {
            "-m" => {
                let Some((module, arguments)) = further.split_first() else { return false };
                let command: Vec<&str> = [&[*module], arguments].concat();
                return MODULES.contains(module) || is_named(&command);
            }
            "-c" => return false,
            "-X" | "-W" => words = further.get(1..).unwrap_or_default(),
            _ if word.starts_with('-') => words = further,
            _ => {
                let managed = base(word) == "manage.py" && further.first() == Some(&"runserver");
                return managed || is_named(words);
            }
        }
    }
    false
}

fn is_named(words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let name = base(first);
    if SERVERS.contains(&name) {
        return true;
    }
    // An option is no verb, but for PHP's.
    let verb = rest.first().copied().filter(|word| *word == "-S" || !word.starts_with('-'));
    let verb = verb.unwrap_or_default();
    if RUNNERS.contains(&name) {
        let script = if verb == "run" { rest.get(1).copied().unwrap_or_default() } else { verb };
        return SCRIPTS.contains(&script);
    }
    VERBS.iter().any(|(program, verbs)| *program == name && verbs.contains(&verb))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(line: &str) -> bool {
        is_server(&line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn servers_are_known_by_their_names_modules_and_verbs() {
        for line in [
            "python -m http.server", "python3 -m http.server 8000 --directory /srv", "python3 -u -m http.server",
            "/usr/bin/python3 /usr/local/bin/tensorboard --logdir runs", "tensorboard --logdir runs --port 6006",
            "/home/a/venv/bin/python3 /home/a/venv/bin/streamlit run app.py", "streamlit run app.py --server.port 80",
            "python -m streamlit run app.py", "vllm serve meta-llama/Llama-3", "python3 /usr/local/bin/vllm serve x",
            "python -m vllm.entrypoints.openai.api_server --model x", "uvicorn app:app --port 80", "ollama serve",
            "mlflow ui", "flask run", "python manage.py runserver 0.0.0.0:80", "npm run dev", "yarn dev", "vite",
            "node /srv/node_modules/.bin/vite --port 80", "php -S 0.0.0.0:80", "redis-server *:6379",
        ] {
            assert!(server(line), "{line}");
        }
    }

    #[test]
    fn doubt_is_a_job() {
        for line in [
            "python3 train.py", "python3 serve.py", "python3 -c import", "python -m torch.distributed.run train.py",
            "vllm bench serve", "vllm", "ollama run llama3", "ollama pull x", "mlflow run .", "streamlit hello",
            "npm install", "npm test", "npm run build", "vite build", "next build", "make serve", "node train.js",
            "python manage.py migrate", "hugo", "php artisan queue:work", "./serve", "airflow dags backfill", "",
        ] {
            assert!(!server(line), "{line}");
        }
    }
}
