/*
 * The HTTP client against servers that behave and servers that do not: plain ones on the same loop,
 * and TLS ones (Python's ssl module in a child, certificates made here with libcrypto): refused,
 * silent, half an answer, redirect, an answer without end, certificates of every kind, a resolver
 * that hangs, cancelling, and memory that stays flat over a hundred connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_server.h"
#include "upload/http.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MS	 USEC_PER_MSEC
#define PATIENCE (20 * USEC_PER_SEC)

struct world {
	sd_event *event;
	struct server *server;
	struct http *http;
	struct http_call *call;
	bool (*script)(struct world *w, const struct server_request *q, struct buf *out);
	char last_head[4096];
	/* The last answer. */
	unsigned n_answers;
	enum transport_failure transport;
	int status;
	char words[100], detail[300], contract[20], body[100];
	usec_t retry_after;
	size_t size;
	bool free_in_callback;
};

static char directory[] = "/dev/shm/vitald-test-XXXXXX";
static int resolver_stuck = -1; /* eventfd: getaddrinfo("stuck.invalid") waits for it */

/* Stands before libc's: libcurl's resolver thread calls this one. Nobody is asked for *.invalid. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	uint64_t ignored;

	if (node && strcmp(node, "stuck.invalid") == 0) {
		ssize_t n = read(resolver_stuck, &ignored, sizeof(ignored));

		return n > 0 ? EAI_AGAIN : EAI_FAIL;
	}
	if (node && strstr(node, ".invalid"))
		return EAI_NONAME;
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, ret);
}

/* The client's side */

static void on_answer(void *userdata, const struct answer *a)
{
	struct world *w = userdata;

	w->call = NULL;
	w->n_answers++;
	w->transport = a->transport;
	w->status = a->status;
	w->retry_after = a->retry_after;
	w->size = a->size;
	(void)snprintf(w->words, sizeof(w->words), "%s",
		       a->transport_words ? a->transport_words : "");
	(void)snprintf(w->detail, sizeof(w->detail), "%s",
		       a->transport_detail ? a->transport_detail : "");
	(void)snprintf(w->contract, sizeof(w->contract), "%s", a->contract ? a->contract : "-");
	(void)snprintf(w->body, sizeof(w->body), "%.*s", (int)MIN(a->size, 99U),
		       a->body ? (const char *)a->body : "");
	if (w->free_in_callback)
		w->http = http_free(w->http);
}

static void open_client(struct world *w, const struct http_options *o)
{
	w->http = http_free(w->http);
	assert_int_equal(http_new(w->event, o, &w->http), 0);
}

static void open_plain(struct world *w)
{
	open_client(w, &(struct http_options){.url = w->server->url});
}

static void post(struct world *w, const char *body, usec_t timeout)
{
	static const char *const headers[] = {"X-Mine: 1", NULL};
	struct http_request q = {.method = "POST",
				 .path = "/v1/batches",
				 .headers = headers,
				 .token = "secret",
				 .body = body,
				 .size = strlen(body),
				 .timeout = timeout};

	assert_int_equal(http_send(w->http, &q, on_answer, w, &w->call), 0);
}

static void run_until_answers(struct world *w, unsigned n)
{
	usec_t end = clock_boot_usec() + PATIENCE;

	while (w->n_answers < n) {
		assert_true(clock_boot_usec() < end);
		assert_true(sd_event_run(w->event, 100 * MS) >= 0);
	}
}

static void exchange(struct world *w, usec_t timeout)
{
	post(w, "body", timeout);
	run_until_answers(w, w->n_answers + 1);
}

static bool script(void *userdata, const struct server_request *q, struct buf *out)
{
	struct world *w = userdata;

	(void)snprintf(w->last_head, sizeof(w->last_head), "%s", q->head);
	return w->script(w, q, out);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_true(sd_event_new(&w->event) >= 0);
	w->server = server_new(w->event, script, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	w->http = http_free(w->http);
	w->server = server_free(w->server);
	sd_event_unref(w->event);
	free(w);
	return 0;
}

/* Plain */

static bool say_ok(struct world *w, const struct server_request *q, struct buf *out)
{
	server_respond(out, 200, "X-Ingest-Contract: 1\r\nRetry-After: 7\r\n", "fine");
	return false;
}

static void an_exchange_works_and_the_connection_stays(void **state)
{
	struct world *w = *state;

	w->script = say_ok;
	open_plain(w);
	for (int i = 0; i < 5; i++) {
		exchange(w, USEC_PER_SEC);
		assert_int_equal(w->transport, TRANSPORT_OK);
		assert_int_equal(w->status, 200);
		assert_string_equal(w->contract, "1");
		assert_string_equal(w->body, "fine");
		assert_int_equal(w->retry_after, 7 * USEC_PER_SEC);
	}
	assert_int_equal(w->server->n_accepted, 1);
	assert_non_null(strstr(w->last_head, "POST /v1/batches HTTP/1.1\r\n"));
	assert_non_null(strstr(w->last_head, "\r\nAuthorization: Bearer secret\r\n"));
	assert_non_null(strstr(w->last_head, "\r\nX-Mine: 1\r\n"));
	assert_null(strstr(w->last_head, "Expect"));
	assert_null(strstr(w->last_head, "Accept-Encoding"));
}

static bool echo_size(struct world *w, const struct server_request *q, struct buf *out)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%zu", q->size);
	server_respond(out, 200, "", text);
	return false;
}

static void a_big_body_arrives_whole(void **state)
{
	struct world *w = *state;
	char *body = malloc(2000001);

	memset(body, 'x', 2000000);
	body[2000000] = '\0';
	w->script = echo_size;
	open_plain(w);
	post(w, body, 5 * USEC_PER_SEC);
	run_until_answers(w, 1);
	assert_string_equal(w->body, "2000000");
	assert_null(strstr(w->last_head, "Expect"));
	free(body);
}

static void refused_is_network(void **state)
{
	struct world *w = *state;

	open_plain(w);
	server_down(w->server);
	exchange(w, USEC_PER_SEC);
	assert_int_equal(w->transport, TRANSPORT_NETWORK);
	assert_int_equal(w->status, 0);
	assert_string_equal(w->words, "its machine is on, the program on it is not");
	assert_non_null(strstr(w->detail, "onnect"));
}

/* What stops a request on its way, in words that need no explanation; curl's are kept beside them. */
static void failures_have_plain_words(void **state)
{
	const struct {
		struct http_options options;
		const char *words;
	} cases[] = {
		{{.url = "https://nowhere.invalid"}, "the network does not know its name"},
		{{.url = "https://nowhere.invalid", .proxy = "http://proxy.invalid:1"},
		 "the network does not know the proxy's name"},
		{{.url = "https://nowhere.invalid", .proxy = "http://127.0.0.1:1"},
		 "the proxy cannot be reached"},
		{{.url = "http://127.0.0.1:1", .interface = "if!none0"},
		 "its `interface` is not there"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		open_client(w, &cases[i].options);
		exchange(w, 5 * USEC_PER_SEC);
		assert_int_equal(w->transport, TRANSPORT_NETWORK);
		assert_string_equal(w->words, cases[i].words);
		assert_true(w->detail[0] != '\0');
	}
}

static bool say_nothing(struct world *w, const struct server_request *q, struct buf *out)
{
	return false;
}

static void silence_is_a_timeout(void **state)
{
	struct world *w = *state;
	usec_t start = clock_boot_usec();

	w->script = say_nothing;
	open_plain(w);
	exchange(w, 100 * MS);
	assert_int_equal(w->transport, TRANSPORT_NETWORK);
	assert_string_equal(w->words, "it took too long");
	assert_in_range(clock_boot_usec() - start, 90 * MS, 5 * USEC_PER_SEC);
}

static bool say_half(struct world *w, const struct server_request *q, struct buf *out)
{
	buf_string(out, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"contract\":");
	return true;
}

static bool say_half_a_head(struct world *w, const struct server_request *q, struct buf *out)
{
	buf_string(out, "HTTP/1.1 200 OK\r\nContent-Le");
	return true;
}

static bool hang_up(struct world *w, const struct server_request *q, struct buf *out)
{
	return true;
}

static bool talk_nonsense(struct world *w, const struct server_request *q, struct buf *out)
{
	buf_string(out, "220 smtp.example.org ESMTP\r\n");
	return true;
}

static void half_an_answer_is_none(void **state)
{
	static const struct {
		bool (*way)(struct world *w, const struct server_request *q, struct buf *out);
		const char *words;
	} cases[] = {{say_half, "the connection broke off"},
		     {hang_up, "the connection broke off"},
		     {talk_nonsense, "something else answers in its place"}};
	struct world *w = *state;

	open_plain(w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		w->script = cases[i].way;
		exchange(w, USEC_PER_SEC);
		assert_int_equal(w->transport, TRANSPORT_NETWORK);
		assert_string_equal(w->words, cases[i].words);
		assert_int_equal(w->status, 0);
		assert_int_equal(w->size, 0);
	}
}

/* curl takes a head that ends in the middle for whole; what it yields is no receipt. */
static void half_a_head_is_no_receipt(void **state)
{
	struct world *w = *state;

	w->script = say_half_a_head;
	open_plain(w);
	exchange(w, USEC_PER_SEC);
	assert_string_equal(w->contract[0] ? w->contract : "-", "-");
	assert_int_equal(w->size, 0);
}

static bool redirect(struct world *w, const struct server_request *q, struct buf *out)
{
	server_respond(out, 307, "Location: /elsewhere\r\n", "");
	return false;
}

static void a_redirect_is_not_followed(void **state)
{
	struct world *w = *state;

	w->script = redirect;
	open_plain(w);
	exchange(w, USEC_PER_SEC);
	assert_int_equal(w->status, 307);
	assert_int_equal(w->server->n_requests, 1);
}

static bool say_too_much(struct world *w, const struct server_request *q, struct buf *out)
{
	static const char piece[] = "1000\r\n";

	buf_string(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 400; i++) {
		uint8_t *p;

		buf_string(out, piece);
		p = buf_reserve(out, 4098);
		memset(p, 'y', 4096);
		memcpy(p + 4096, "\r\n", 2);
		out->size += 4098;
	}
	buf_string(out, "0\r\n\r\n");
	return false;
}

static bool announce_too_much(struct world *w, const struct server_request *q, struct buf *out)
{
	buf_string(out, "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\nabc");
	return true;
}

static void a_big_answer_is_bounded(void **state)
{
	struct world *w = *state;

	open_plain(w);
	w->script = say_too_much;
	exchange(w, 5 * USEC_PER_SEC);
	assert_int_equal(w->transport, TRANSPORT_NETWORK);
	assert_non_null(strstr(w->words, "1 MiB"));
	w->script = announce_too_much;
	exchange(w, 5 * USEC_PER_SEC);
	assert_int_equal(w->transport, TRANSPORT_NETWORK);
	assert_non_null(strstr(w->words, "1 MiB"));
}

static void a_cancelled_call_does_not_call_back(void **state)
{
	struct world *w = *state;

	w->script = say_ok;
	open_plain(w);
	post(w, "one", USEC_PER_SEC);
	w->call = http_cancel(w->call);
	assert_null(http_cancel(NULL));
	exchange(w, USEC_PER_SEC);
	assert_int_equal(w->n_answers, 1);
	post(w, "two", USEC_PER_SEC);
	while (w->server->n_requests < 2)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	w->call = http_cancel(w->call);
	exchange(w, USEC_PER_SEC);
	assert_int_equal(w->n_answers, 2);
}

static void a_callback_may_free_the_client(void **state)
{
	struct world *w = *state;

	w->script = say_ok;
	open_plain(w);
	w->free_in_callback = true;
	post(w, "one", USEC_PER_SEC);
	post(w, "two", USEC_PER_SEC);
	run_until_answers(w, 1);
	assert_null(w->http);
	assert_int_equal(w->n_answers, 1);
}

static void only_safe_addresses_are_accepted(void **state)
{
	static const char *const good[] = {"https://example.org", "http://localhost:1",
					   "http://127.0.0.1:80", "http://127.9.9.9",
					   "http://[::1]:8080"};
	static const char *const bad[] = {"http://example.org",
					  "http://127.0.0.1.example.org",
					  "http://localhost.com",
					  "http://10.0.0.1",
					  "http://[::2]",
					  "ftp://localhost",
					  "file:///etc/passwd",
					  "nonsense",
					  "http://127.0.0.1@evil.example"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		open_client(w, &(struct http_options){.url = good[i]});
	w->http = http_free(w->http);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(http_new(w->event, &(struct http_options){.url = bad[i]},
					  &w->http),
				 -EINVAL);
}

static void the_environment_names_no_proxy(void **state)
{
	struct world *w = *state;

	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:9", 1), 0);
	assert_int_equal(setenv("all_proxy", "http://127.0.0.1:9", 1), 0);
	w->script = say_ok;
	open_plain(w);
	exchange(w, USEC_PER_SEC);
	assert_int_equal(w->status, 200);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_int_equal(unsetenv("all_proxy"), 0);
}

static void a_stuck_resolver_does_not_stop_the_loop(void **state)
{
	usec_t start = clock_boot_usec();
	struct world *w = *state;
	uint64_t go = 1000;

	resolver_stuck = eventfd(0, EFD_SEMAPHORE);
	open_client(w, &(struct http_options){.url = "https://stuck.invalid"});
	exchange(w, 200 * MS);
	assert_int_equal(w->transport, TRANSPORT_NETWORK);
	post(w, "two", 10 * USEC_PER_SEC);
	assert_true(sd_event_run(w->event, 50 * MS) >= 0);
	w->call = http_cancel(w->call);
	w->http = http_free(w->http);
	assert_in_range(clock_boot_usec() - start, 190 * MS, 3 * USEC_PER_SEC);
	/* The threads come back, find nobody, and free what they hold. */
	assert_int_equal(write(resolver_stuck, &go, sizeof(go)), sizeof(go));
}

/* TLS */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* A certificate from `from` to `to` (seconds from now), signed by `ca`, or by itself. */
static struct identity make_identity(const char *name, const struct identity *ca, long from,
				     long to)
{
	struct identity id = {EVP_EC_gen("P-256"), X509_new()};
	X509_NAME *n = X509_get_subject_name(id.certificate);
	X509 *issuer = ca ? ca->certificate : id.certificate;
	static long serial = 1;

	assert_int_equal(X509_set_version(id.certificate, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.certificate), from);
	X509_gmtime_adj(X509_getm_notAfter(id.certificate), to);
	X509_set_pubkey(id.certificate, id.key);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(id.certificate, X509_get_subject_name(issuer));
	if (ca)
		add_extension(id.certificate, issuer, NID_subject_alt_name,
			      "IP:127.0.0.1,DNS:localhost");
	else
		add_extension(id.certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(id.certificate, ca ? ca->key : id.key, EVP_sha256()) > 0);
	return id;
}

static void write_identity(const char *name, struct identity *id)
{
	char path[96];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s.pem", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, id->certificate), 1);
	assert_int_equal(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
}

static void free_identity(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->certificate);
}

static const char *path_of(const char *name)
{
	static char path[16][96];
	static unsigned n;
	char *p = path[n++ % 16];

	(void)snprintf(p, sizeof(path[0]), "%s/%s.pem", directory, name);
	return p;
}

static void make_certificates(void)
{
	const long day = 86400;
	struct identity ca = make_identity("test ca", NULL, -day, day);
	struct identity other = make_identity("other ca", NULL, -day, day);
	struct identity all[] = {
		make_identity("127.0.0.1", &ca, -day, day),
		make_identity("127.0.0.1", &ca, -2 * day, -day),
		make_identity("127.0.0.1", &ca, day, 2 * day),
		make_identity("hub", &ca, -day, day),
		make_identity("stranger", &other, -day, day),
	};
	static const char *const names[] = {"good", "expired", "early", "hub", "stranger"};

	write_identity("ca", &ca);
	write_identity("other", &other);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		write_identity(names[i], &all[i]);
		free_identity(&all[i]);
	}
	free_identity(&ca);
	free_identity(&other);
}

/* Serves one request a connection; hangs up where the handshake fails. Prints its port. */
static const char tls_server[] =
	"import socket, ssl, sys\n"
	"cert, client_ca, version = sys.argv[1:4]\n"
	"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
	"c.load_cert_chain(cert)\n"
	"if client_ca:\n"
	"    c.verify_mode = ssl.CERT_REQUIRED\n"
	"    c.load_verify_locations(client_ca)\n"
	"if version == '1.2':\n"
	"    c.maximum_version = ssl.TLSVersion.TLSv1_2\n"
	"s = socket.create_server(('127.0.0.1', 0))\n"
	"print(s.getsockname()[1], flush=True)\n"
	"while True:\n"
	"    p, _ = s.accept()\n"
	"    t = c.wrap_socket(p, server_side=True, do_handshake_on_connect=False)\n"
	"    try:\n"
	"        t.do_handshake()\n"
	"        d = b''\n"
	"        while b'\\r\\n\\r\\nbody' not in d:\n"
	"            m = t.recv(65536)\n"
	"            if not m:\n"
	"                break\n"
	"            d += m\n"
	"        b = b'again' if t.session_reused else b'first'\n"
	"        t.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n'\n"
	"                  b'\\r\\n' + b)\n"
	"        t.unwrap()\n"
	"    except (OSError, ValueError):\n"
	"        pass\n"
	"    p = socket.socket(fileno=t.detach())\n"
	"    try:\n"
	/* closing on unread data is a reset, which eats the alert */
	"        while p.recv(65536):\n"
	"            pass\n"
	"    except OSError:\n"
	"        pass\n"
	"    p.close()\n";

struct tls {
	pid_t pid;
	char url[40];
};

static struct tls tls_start(const char *certificate, const char *client_ca, const char *version)
{
	struct tls t;
	int fds[2], port = 0;
	FILE *f;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0) {
		(void)dup2(fds[1], STDOUT_FILENO); /* the exec tells if it failed */
		(void)execlp("python3", "python3", "-c", tls_server, certificate, client_ca,
			     version, (char *)NULL);
		_exit(127);
	}
	(void)close(fds[1]); /* the child has it */
	f = fdopen(fds[0], "r");
	assert_int_equal(fscanf(f, "%d", &port), 1);
	(void)fclose(f); /* was only read */
	(void)snprintf(t.url, sizeof(t.url), "https://127.0.0.1:%d", port);
	return t;
}

static void tls_stop(struct tls *t)
{
	assert_int_equal(kill(t->pid, SIGKILL), 0);
	assert_int_equal(waitpid(t->pid, NULL, 0), t->pid);
}

static void tls_exchange(struct world *w, const char *certificate, const char *client_ca,
			 const char *version, struct http_options *o)
{
	struct tls t = tls_start(path_of(certificate), client_ca, version);

	o->url = t.url;
	open_client(w, o);
	exchange(w, 10 * USEC_PER_SEC);
	tls_stop(&t);
}

static void a_certificate_of_the_ca_file_is_trusted(void **state)
{
	struct http_options o = {.ca_file = path_of("ca")};
	struct world *w = *state;

	tls_exchange(w, "good", "", "1.3", &o);
	assert_string_equal(w->detail, "");
	assert_int_equal(w->status, 200);
}

static void another_certificate_is_not(void **state)
{
	struct http_options own = {.ca_file = path_of("other")}, systems = {0};
	struct http_options missing = {.ca_file = "/nonexistent/ca.pem"};
	struct world *w = *state;

	tls_exchange(w, "good", "", "1.3", &own);
	assert_int_equal(w->transport, TRANSPORT_CERTIFICATE);
	tls_exchange(w, "good", "", "1.3", &systems);
	assert_int_equal(w->transport, TRANSPORT_CERTIFICATE);
	assert_string_equal(w->words, ""); /* that it is not trusted says it */
	tls_exchange(w, "good", "", "1.3", &missing);
	assert_int_equal(w->transport, TRANSPORT_CERTIFICATE);
	assert_string_equal(w->words, "its `ca_file` cannot be used");
	assert_int_equal(w->status, 0);
}

static void validity_in_time_is_told_apart(void **state)
{
	struct http_options o = {.ca_file = path_of("ca")};
	struct world *w = *state;

	tls_exchange(w, "expired", "", "1.3", &o);
	assert_int_equal(w->transport, TRANSPORT_CERTIFICATE_TIME);
	tls_exchange(w, "early", "", "1.3", &o);
	assert_int_equal(w->transport, TRANSPORT_CERTIFICATE_TIME);
}

static void a_refused_client_certificate_is_told_apart(void **state)
{
	static const char *const versions[] = {"1.2", "1.3"};
	struct world *w = *state;
	char ca[96];

	(void)snprintf(ca, sizeof(ca), "%s", path_of("ca"));
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct http_options none = {.ca_file = ca};
		struct http_options stranger = {.ca_file = ca,
						.client_cert = path_of("stranger"),
						.client_key = path_of("stranger")};
		struct http_options hub = {.ca_file = ca,
					   .client_cert = path_of("hub"),
					   .client_key = path_of("hub")};

		tls_exchange(w, "good", ca, versions[i], &none);
		assert_int_equal(w->transport, TRANSPORT_CLIENT_CERTIFICATE);
		tls_exchange(w, "good", ca, versions[i], &stranger);
		assert_int_equal(w->transport, TRANSPORT_CLIENT_CERTIFICATE);
		assert_string_equal(w->words, "");
		assert_true(w->detail[0] != '\0');
		tls_exchange(w, "good", ca, versions[i], &hub);
		assert_int_equal(w->status, 200);
	}
}

static size_t resident_kib(void)
{
	char line[256];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %zu", &kib) == 1)
			break;
	(void)fclose(f); /* was only read */
	return kib;
}

/* Each exchange is a connection of its own; sessions are resumed, memory stays where it is. */
static void memory_is_flat_over_reconnects(void **state)
{
	struct tls t = tls_start(path_of("good"), "", "1.3");
	struct http_options o = {.url = t.url, .ca_file = path_of("ca")};
	size_t warm, after, again = 0;
	struct world *w = *state;

	open_client(w, &o);
	for (int i = 0; i < 20; i++)
		exchange(w, 10 * USEC_PER_SEC);
	warm = resident_kib();
	for (int i = 0; i < 100; i++) {
		exchange(w, 10 * USEC_PER_SEC);
		assert_int_equal(w->status, 200);
		again += strcmp(w->body, "again") == 0;
	}
	after = resident_kib();
	tls_stop(&t);
	print_message("resident after 20 connections %zu KiB, after 120 %zu KiB\n", warm, after);
	assert_int_equal(again, 100);
#ifndef __SANITIZE_ADDRESS__
	assert_true(after <= warm + 256);
#endif
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_exchange_works_and_the_connection_stays),
		TEST(a_big_body_arrives_whole),
		TEST(refused_is_network),
		TEST(failures_have_plain_words),
		TEST(silence_is_a_timeout),
		TEST(half_an_answer_is_none),
		TEST(half_a_head_is_no_receipt),
		TEST(a_redirect_is_not_followed),
		TEST(a_big_answer_is_bounded),
		TEST(a_cancelled_call_does_not_call_back),
		TEST(a_callback_may_free_the_client),
		TEST(only_safe_addresses_are_accepted),
		TEST(the_environment_names_no_proxy),
		TEST(a_stuck_resolver_does_not_stop_the_loop),
		TEST(a_certificate_of_the_ca_file_is_trusted),
		TEST(another_certificate_is_not),
		TEST(validity_in_time_is_told_apart),
		TEST(a_refused_client_certificate_is_told_apart),
		TEST(memory_is_flat_over_reconnects),
	};
	char command[64];
	int failed;

	if (!mkdtemp(directory))
		return 1;
	make_certificates();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command) == 0 ? failed : 1;
}
