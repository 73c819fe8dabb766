use std::fs::{self, File};

use axum::Router;
use axum::handler::Handler as _;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::ServiceExt as _;

use super::*;

#[test]
fn only_what_can_never_change_is_kept_for_ever() {
    for path in ["/log/tile/0/000", "/reports/tile/entries/x001/002", "/log/note/00ff", "/a/00ff/style.css"] {
        assert!(never_changes(path), "{path}");
    }
    for path in ["/log/checkpoint", "/log/tile/0/000.p/3", "/", "/tile/0/000", "/log/vkey"] {
        assert!(!never_changes(path), "{path}");
    }
}

#[test]
fn a_checkpoint_is_text_and_a_tile_is_bytes() {
    assert_eq!(content_type("/reports/checkpoint"), Some("text/plain; charset=utf-8"));
    assert_eq!(content_type("/log/tile/0/000.p/3"), Some("application/octet-stream"));
    assert_eq!(content_type("/style.css"), None);
}

#[test]
fn only_a_path_that_names_its_file_letter_by_letter_is_remembered() {
    let below = |path| file_below(Path::new("/public"), path);
    assert_eq!(below("/"), Some("/public/index.html".into()));
    assert_eq!(below("/r/spring/"), Some("/public/r/spring/index.html".into()));
    assert_eq!(below("/log/tile/0/x001/002.p/3"), Some("/public/log/tile/0/x001/002.p/3".into()));
    for path in
        ["", "r", "//", "/r//", "/../key", "/r/..", "/.hidden", "/r/%2e%2e/key", "/r/a b", "/r/é", "/\\"]
    {
        assert_eq!(below(path), None, "{path}");
    }
}

/// A public folder that is served.
struct Served {
    router: Router,
    figures: Arc<Figures>,
}

/// What was answered: the status, all headers in their order, and the body.
type Said = (u16, Vec<(String, String)>, Vec<u8>);

impl Served {
    /// By a clock that stands at `now`. The files of these tests were changed in this century.
    fn at(folder: &Path, now: &str) -> Self {
        let figures = Arc::<Figures>::default();
        let clock = Clock::by_hand(now.parse().unwrap());
        let files = Arc::new(PublicFiles::new(folder, clock, Arc::clone(&figures)));
        let router = Router::new()
            .fallback_service(from_folder.with_state(Arc::clone(&files)))
            .layer(from_fn(headers))
            .layer(from_fn_with_state(files, from_memory));
        Self { router, figures }
    }

    /// One that remembers whatever it can.
    fn remembering(folder: &Path) -> Self {
        Self::at(folder, "2999-01-01T00:00:00Z")
    }

    /// One to which every file was changed just now, so that it remembers nothing.
    fn forgetting(folder: &Path) -> Self {
        Self::at(folder, "1999-01-01T00:00:00Z")
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Said {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        (parts.status.as_u16(), headers, body::to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    async fn body(&self, path: &str) -> String {
        let (status, _, body) = self.ask("GET", path, &[]).await;
        assert_eq!(status, 200, "{path}");
        String::from_utf8(body).unwrap()
    }

    /// How many answers came from memory.
    fn remembered(&self) -> u64 {
        self.figures.requests_answered.load(Ordering::Relaxed)
    }
}

/// Puts a file into place as the publisher does, with a time of change that is the same to the nanosecond each time.
fn put(folder: &Path, name: &str, text: &str) {
    let (beside, path) = (folder.join("beside"), folder.join(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&beside, text).unwrap();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_783_339_200);
    File::options().write(true).open(&beside).unwrap().set_modified(then).unwrap();
    fs::rename(&beside, &path).unwrap();
}

#[tokio::test]
async fn a_file_that_is_replaced_is_never_answered_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::remembering(folder.path());
    for (name, path) in
        [("index.html", "/"), ("log/checkpoint", "/log/checkpoint"), ("log/tile/0/000", "/log/tile/0/000")]
    {
        for text in ["one", "two", "six", "longer", ""] {
            // Same length, same time: another inode.
            put(folder.path(), name, text);
            let before = served.remembered();
            assert_eq!(served.body(path).await, text);
            assert_eq!(served.remembered(), before, "{path} was read anew");
            assert_eq!(served.body(path).await, text);
            assert_eq!(served.body(path).await, text);
            assert_eq!(served.remembered(), before + 2, "{path} was remembered");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_written_over_removed_or_becomes_a_folder_is_not_answered_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::remembering(folder.path());
    put(folder.path(), "page", "one");
    served.body("/page").await;
    let path = folder.path().join("page");
    let (before, identity) = (fs::metadata(&path).unwrap(), Identity::at(&path));
    // In place, and with its time set back. The time of the change itself nobody sets; it is told apart a tick later.
    loop {
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
        if Identity::at(&path) != identity {
            break;
        }
    }
    assert_eq!(served.body("/page").await, "two");
    fs::remove_file(&path).unwrap();
    assert_eq!(served.ask("GET", "/page", &[]).await.0, 404);
    put(folder.path(), "page/index.html", "a page");
    assert_eq!(served.ask("GET", "/page", &[]).await.0, 307);
    assert_eq!(served.body("/page/").await, "a page");
}

#[tokio::test]
async fn a_file_that_may_still_change_within_a_tick_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "log/checkpoint", "one");
    for served in [Served::forgetting(folder.path()), {
        let now = Clock::System.now().to_string();
        Served::at(folder.path(), &now)
    }] {
        for _ in 0..3 {
            assert_eq!(served.body("/log/checkpoint").await, "one");
        }
        assert_eq!(served.remembered(), 0);
    }
}

#[tokio::test]
async fn memory_answers_as_the_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
    for (name, text) in [
        ("index.html", "a page"),
        ("r/spring/index.html", "a report"),
        ("r/spring/report.json", "{}"),
        ("log/checkpoint", "a checkpoint"),
        ("log/tile/0/000", "a tile"),
        ("log/tile/0/001.p/3", "a part of a tile"),
        ("a/00ff/style.css", "a style"),
        ("empty", ""),
        ("long", &long),
    ] {
        put(folder.path(), name, text);
    }
    let (remembering, forgetting) = (Served::remembering(folder.path()), Served::forgetting(folder.path()));
    let mut from_memory = 0;
    for path in [
        "/",
        "/index.html",
        "/r/spring/",
        "/r/spring",
        "/r/spring/report.json",
        "/r/%73pring/report.json",
        "/log/checkpoint",
        "/log/checkpoint/",
        "/log/tile/0/000",
        "/log/tile/0/001.p/3",
        "/a/00ff/style.css",
        "/empty",
        "/long",
        "/none",
        "/r/spring/?lang=fa",
        "//",
        "/r/../index.html",
    ] {
        let (status, headers, _) = remembering.ask("GET", path, &[]).await;
        let value = |name: &str| headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.clone());
        let (tag, time) = (value("etag").unwrap_or_default(), value("last-modified").unwrap_or_default());
        let both = format!("\"other\", W/{tag}");
        let requests: [&[(&str, &str)]; 14] = [
            &[],
            &[("if-none-match", &tag)],
            &[("if-none-match", "\"other\"")],
            &[("if-none-match", &both)],
            &[("if-none-match", "*")],
            &[("if-modified-since", &time)],
            &[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            &[("if-none-match", "\"other\""), ("if-modified-since", &time)],
            &[("if-none-match", &tag), ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            &[("if-match", "\"other\"")],
            &[("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            &[("range", "bytes=1-2")],
            &[("range", "bytes=1-2"), ("if-range", "\"other\"")],
            &[("if-none-match", &tag), ("if-match", "\"other\"")],
        ];
        for method in ["GET", "HEAD", "POST"] {
            for headers in requests {
                let before = remembering.remembered();
                let said = remembering.ask(method, path, headers).await;
                from_memory += remembering.remembered() - before;
                assert_eq!(said, forgetting.ask(method, path, headers).await, "{method} {path} {headers:?}");
            }
        }
        assert!(status == 200 || status == 307 || status == 404, "{path}: {status}");
    }
    assert_eq!(forgetting.remembered(), 0);
    // Ten of the paths name a small file. Of each, by both methods, the whole, and what has not changed by its tag, by its time,
    // and by its tag whatever the time.
    assert_eq!(from_memory, 10 * 2 * 4);
}
