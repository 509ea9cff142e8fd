/*
 * libcurl's multi interface on sd-event, with everything that a hostile or sleepy network could
 * abuse switched off or bounded.
 *
 *	http_send() -> call.state RUNNING -> FINISHED -> done() -> SPARE
 *	                     |                  |                    ^
 *	                     +--- http_cancel() +--------------------+
 *
 * curl tells which sockets to watch and when its next time-out is; both become sd-event sources,
 * both end in curl_multi_socket_action(), after which all messages are taken from the multi handle
 * and their calls wait in `finished`. A defer source hands them over one at a time, so that a
 * callback is always the last thing that happens and may even free the client.
 *
 * A spare call keeps its easy handle: that is most of the memory of a request. What was learned
 * about libcurl 7.88.1 and OpenSSL 3.0 while writing this:
 *
 * - TLS sessions are shared between easy handles only through a share object.
 * - Debian's libcurl parses all of ca-certificates.crt (140 certificates) for each connection,
 *   which is what makes a process grow. In the directory of the same certificates under their
 *   hashes OpenSSL looks up the one it needs. So where there is no ca_file and that directory is
 *   hashed, only it is used: 12.8 MB resident after 200 connections. Otherwise one parsed store is
 *   kept for all connections (CURLOPT_CA_CACHE_TIMEOUT), which curl does only where no directory
 *   is set: 13.6 MB with the whole bundle.
 * - When a transfer ends while its name is being resolved, curl joins the resolver's thread, that
 *   is, waits out getaddrinfo(), unless CURLOPT_QUICK_EXIT is set. Then it detaches the thread,
 *   which frees what it holds when it comes back. The loop must never wait, so it is always set;
 *   threads left behind are as many as attempts fit into one time-out of the resolver.
 * - A refused client certificate is no error of the handshake in TLS 1.3: the client is done before
 *   the server has looked. It arrives as an alert with the first read, CURLE_RECV_ERROR (56), in
 *   TLS 1.2 as CURLE_SSL_CONNECT_ERROR (35); the alert's name is in the text only.
 * - CURL_CSELECT_IN/OUT and CURL_POLL_IN/OUT have the same names and other values.
 */
#include "upload/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define TIMER_ACCURACY	USEC_PER_MSEC

enum {
	ANSWER_MAX = 1024 * 1024,
	LONG_LIST_MAX = 16 * 1024 * 1024,
	ANSWER_KEPT = 32 * 1024, /* memory of an answer that a spare call keeps */
	RECEIVE_BUFFER = 16 * 1024,
	SEND_BUFFER = 32 * 1024,
	SLOW_BYTES_PER_SECOND = 256,
	SLOW_SECONDS = 30,
	BODY_BYTES_PER_SECOND = 16 * 1024, /* time for the body beside the request's time-out */
	MAX_CONNECTIONS = 2,
	MAX_LIFETIME_SECONDS = 3600,
	MAX_HEADERS = 16,
};

enum call_state { CALL_SPARE, CALL_RUNNING, CALL_FINISHED };

struct http_call {
	struct http *http;
	struct http_call *next; /* in the list of its state */
	enum call_state state;
	CURL *easy;
	struct curl_slist *headers;
	http_done done;
	void *userdata;
	CURLcode result;
	size_t answer_max;
	bool too_long;
	struct buf answer;
	char error[CURL_ERROR_SIZE];
};

struct http {
	sd_event *event;
	sd_event_source *timer, *deliver;
	CURLM *multi;
	CURLSH *share;
	char *url;
	char *ca_file, *ca_path, *client_cert, *client_key, *proxy, *interface;
	struct http_call *running, *finished, *spare;
	struct http_call *delivered; /* calling back now, or the last that did */
	bool closing;
};

/* Lists of calls */

static void list_push(struct http_call **list, struct http_call *c)
{
	c->next = *list;
	*list = c;
}

static void list_append(struct http_call **list, struct http_call *c)
{
	while (*list)
		list = &(*list)->next;
	c->next = NULL;
	*list = c;
}

static void list_remove(struct http_call **list, struct http_call *c)
{
	while (*list && *list != c)
		list = &(*list)->next;
	if (*list)
		*list = c->next;
	c->next = NULL;
}

/* Where certificates are looked for */

static bool is_hash_link(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] == '0';
}

/* The system's directory of certificates under their hashes, as OpenSSL wants it; NULL: none. */
static const char *hashed_ca_directory(void)
{
	const char *path = curl_version_info(CURLVERSION_NOW)->capath;
	bool found = false;
	struct dirent *entry;
	DIR *dir;

	dir = path ? opendir(path) : NULL;
	if (!dir)
		return NULL;
	while (!found && (entry = readdir(dir)))
		found = is_hash_link(entry->d_name);
	(void)closedir(dir); /* was only read */
	return found ? path : NULL;
}

/* The rules for addresses */

static bool is_loopback(const char *host)
{
	struct in6_addr six;
	struct in_addr four;
	char bare[64];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	(void)snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(host + (*host == '['), "]"),
		       host + (*host == '['));
	return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool address_allowed(const char *url)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL, *host = NULL;
	bool allowed = false;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		allowed = streq(scheme, "https") || (streq(scheme, "http") && is_loopback(host));
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parsed);
	return allowed;
}

/* Calls */

static void drop_headers(struct http_call *c)
{
	for (struct curl_slist *l = c->headers; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data)); /* one of them is the token */
	curl_slist_free_all(c->headers);
	c->headers = NULL;
}

static struct http_call *call_free(struct http_call *c)
{
	if (!c)
		return NULL;
	if (c->easy)
		curl_easy_cleanup(c->easy);
	drop_headers(c);
	buf_done(&c->answer);
	free(c);
	return NULL;
}
DEFINE_CLEANUP(struct http_call *, call_free)

static void recycle(struct http_call *c)
{
	(void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL); /* cannot fail: pointers only */
	(void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
	drop_headers(c);
	if (c->answer.capacity > ANSWER_KEPT)
		buf_done(&c->answer);
	c->state = CALL_SPARE;
	list_push(&c->http->spare, c);
}

static void recycle_delivered(struct http *h)
{
	if (h->delivered)
		recycle(TAKE(h->delivered));
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
	struct http_call *c = userdata;

	if (size * n > c->answer_max - c->answer.size) {
		c->too_long = true;
		return 0;
	}
	buf_append(&c->answer, data, size * n);
	return c->answer.failed ? 0 : size * n;
}

#define SET(option, value) (r = r ? r : curl_easy_setopt(c->easy, option, value))

static CURLcode set_transport(struct http_call *c, const struct http *h)
{
	const char *scheme = strncasecmp(h->url, "https:", 6) == 0 ? "https" : "http";
	CURLcode r = CURLE_OK;

	SET(CURLOPT_PROTOCOLS_STR, scheme);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_SECOND);
	SET(CURLOPT_LOW_SPEED_TIME, (long)SLOW_SECONDS);
	SET(CURLOPT_MAXLIFETIME_CONN, (long)MAX_LIFETIME_SECONDS);
	SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_PROXY, h->proxy ? h->proxy : ""); /* "": nor one from the environment */
	SET(CURLOPT_NOPROXY, "");
	if (h->interface)
		SET(CURLOPT_INTERFACE, h->interface);
	return r;
}

static CURLcode set_tls(struct http_call *c, const struct http *h)
{
	CURLcode r = CURLE_OK;

	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (h->ca_file || h->ca_path)
		SET(CURLOPT_CAINFO, h->ca_file);
	SET(CURLOPT_CAPATH, h->ca_path); /* NULL also lets curl keep the parsed ca_file */
	if (h->client_cert)
		SET(CURLOPT_SSLCERT, h->client_cert);
	if (h->client_key)
		SET(CURLOPT_SSLKEY, h->client_key);
	return r;
}

static CURLcode set_call(struct http_call *c, const struct http *h)
{
	CURLcode r = CURLE_OK;

	SET(CURLOPT_PRIVATE, (void *)c);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_SHARE, h->share);
	SET(CURLOPT_ERRORBUFFER, c->error);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *)c);
	SET(CURLOPT_USERAGENT, "vitald/" VITALD_VERSION);
	return r;
}

static int call_new(struct http *h, struct http_call **ret)
{
	_cleanup_(call_freep) struct http_call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->http = h;
	c->easy = curl_easy_init();
	if (!c->easy || set_call(c, h) || set_transport(c, h) || set_tls(c, h))
		return -ENOMEM;
	*ret = TAKE(c);
	return 0;
}

static int add_header(struct http_call *c, const char *line)
{
	struct curl_slist *l = curl_slist_append(c->headers, line);

	if (!l)
		return -ENOMEM;
	c->headers = l;
	return 0;
}

static int set_headers(struct http_call *c, const struct http_request *q)
{
	static const char bearer[] = "Authorization: Bearer ";
	_cleanup_(freep) char *line = NULL;
	size_t size;
	int r;

	r = add_header(c, "Expect:"); /* with no value: never sent, so nobody waits for a 100 */
	for (size_t i = 0; r == 0 && q->headers && q->headers[i]; i++) {
		assert(i < MAX_HEADERS);
		r = add_header(c, q->headers[i]);
	}
	if (r < 0 || !q->token)
		return r;
	size = sizeof(bearer) + strlen(q->token);
	line = malloc(size);
	if (!line)
		return -ENOMEM;
	(void)snprintf(line, size, "%s%s", bearer, q->token); /* fits */
	r = add_header(c, line);
	explicit_bzero(line, size);
	return r;
}

static int prepare(struct http_call *c, const struct http_request *q)
{
	usec_t timeout = q->timeout + q->size * USEC_PER_SEC / BODY_BYTES_PER_SECOND;
	struct buf url = {0};
	CURLcode r = CURLE_OK;

	if (set_headers(c, q) < 0)
		return -ENOMEM;
	buf_string(&url, c->http->url);
	buf_append(&url, q->path, strlen(q->path) + 1);
	if (url.failed) {
		buf_done(&url);
		return -ENOMEM;
	}
	SET(CURLOPT_URL, (char *)url.data);
	buf_done(&url);
	c->answer_max = q->long_list ? LONG_LIST_MAX : ANSWER_MAX;
	SET(CURLOPT_MAXFILESIZE, (long)c->answer_max);
	SET(CURLOPT_HTTPHEADER, c->headers);
	SET(CURLOPT_TIMEOUT_MS, (long)MAX(timeout / USEC_PER_MSEC, 1U));
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    (long)MAX(MIN(timeout, CONNECT_TIMEOUT) / USEC_PER_MSEC, 1U));
	if (streq(q->method, "POST")) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->size);
		SET(CURLOPT_POSTFIELDS, q->size > 0 ? q->body : "");
	} else {
		SET(CURLOPT_HTTPGET, 1L);
	}
	return r == CURLE_OK ? 0 : -ENOMEM;
}

#undef SET

/* What an outcome means */

static bool is_client_certificate_alert(const char *text)
{
	static const char *const alerts[] = {
		"alert bad certificate", "alert unsupported certificate", "alert certificate",
		"alert unknown ca",	 "alert access denied",		  "alert handshake failure",
	};

	for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
		if (strstr(text, alerts[i]))
			return true;
	return false;
}

static enum transport_failure judge_verification(struct http_call *c)
{
	enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10 }; /* X509_V_ERR_CERT_..., x509_vfy.h */
	long result = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_SSL_VERIFYRESULT, &result); /* 0 if unknown */
	return result == NOT_YET_VALID || result == HAS_EXPIRED ? TRANSPORT_CERTIFICATE_TIME
								: TRANSPORT_CERTIFICATE;
}

static enum transport_failure judge_transport(struct http_call *c)
{
	switch (c->result) {
	case CURLE_OK: return TRANSPORT_OK;
	case CURLE_PEER_FAILED_VERIFICATION: return judge_verification(c);
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR: return TRANSPORT_CERTIFICATE;
	case CURLE_SSL_CERTPROBLEM: return TRANSPORT_CLIENT_CERTIFICATE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return is_client_certificate_alert(c->error) ? TRANSPORT_CLIENT_CERTIFICATE
							     : TRANSPORT_NETWORK;
	default: return TRANSPORT_NETWORK;
	}
}

static bool is_too_long(const struct http_call *c)
{
	return c->too_long || c->result == CURLE_FILESIZE_EXCEEDED;
}

static const char *describe_connect(const struct http_call *c)
{
	long error = 0;

	if (c->http->proxy)
		return "the proxy cannot be reached";
	(void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &error); /* else 0 */
	switch (error) {
	case ECONNREFUSED: return "its machine is on, the program on it is not";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN: return "the network knows no way to it";
	case ETIMEDOUT: return "it took too long";
	default: return "it cannot be reached";
	}
}

/* For somebody who has never heard of curl. What it itself says of it goes with that. */
static const char *describe(const struct http_call *c, enum transport_failure failure)
{
	if (failure == TRANSPORT_CLIENT_CERTIFICATE && c->result != CURLE_SSL_CERTPROBLEM)
		return NULL; /* it broke off because of that */
	if (is_too_long(c))
		return c->answer_max > ANSWER_MAX ? "what it sends is longer than 16 MiB"
						  : "what it sends is longer than 1 MiB";
	switch (c->result) {
	case CURLE_COULDNT_RESOLVE_HOST: return "the network does not know its name";
	case CURLE_COULDNT_RESOLVE_PROXY: return "the network does not know the proxy's name";
	case CURLE_COULDNT_CONNECT: return describe_connect(c);
	case CURLE_INTERFACE_FAILED: return "its `interface` is not there";
	case CURLE_PROXY: return "the proxy does not let us through";
	case CURLE_OPERATION_TIMEDOUT: return "it took too long";
	case CURLE_SSL_CONNECT_ERROR: return "no secure connection came about";
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR: return "the connection broke off";
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY: return "something else answers in its place";
	case CURLE_SSL_CACERT_BADFILE: return "its `ca_file` cannot be used";
	case CURLE_SSL_CERTPROBLEM: return "`client_cert` or `client_key` cannot be used";
	default: return NULL;
	}
}

static const char *detail(const struct http_call *c)
{
	if (c->result == CURLE_OK || is_too_long(c)) /* that was our doing */
		return NULL;
	return c->error[0] ? c->error : curl_easy_strerror(c->result);
}

/*
 * A server that finds a body too large may say so and hang up before it has read it all. Then the
 * exchange failed, but the status is known, and it is the one that helps.
 */
static bool answered_too_large(const struct http_call *c, long status)
{
	return status == 413 && (c->result == CURLE_SEND_ERROR || c->result == CURLE_RECV_ERROR ||
				 c->result == CURLE_PARTIAL_FILE);
}

static struct answer make_answer(struct http_call *c)
{
	struct curl_header *contract;
	curl_off_t retry_after = 0;
	struct answer a = {0};
	long status = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status); /* else 0 */
	a.transport = judge_transport(c);
	if (answered_too_large(c, status))
		a.transport = TRANSPORT_OK;
	if (a.transport != TRANSPORT_OK) {
		a.transport_words = describe(c, a.transport);
		a.transport_detail = detail(c);
		return a;
	}
	a.status = (int)status;
	(void)curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after); /* else 0 */
	if (retry_after > 0)
		a.retry_after = (usec_t)MIN(retry_after, 1000000) * USEC_PER_SEC;
	if (curl_easy_header(c->easy, "X-Ingest-Contract", 0, CURLH_HEADER, -1, &contract) ==
	    CURLHE_OK)
		a.contract = contract->value;
	a.body = c->answer.data;
	a.size = c->answer.size;
	return a;
}

/* The loop */

static void take_finished(struct http *h)
{
	struct http_call *c;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		CURL *easy = m->easy_handle;
		CURLcode result = m->data.result; /* m dies with remove_handle */
		char *private = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private); /* was set */
		c = (struct http_call *)(void *)private;
		(void)curl_multi_remove_handle(h->multi, easy); /* is in it */
		c->result = result;
		c->state = CALL_FINISHED;
		list_remove(&h->running, c);
		list_append(&h->finished, c);
	}
	if (h->finished)
		(void)sd_event_source_set_enabled(h->deliver, SD_EVENT_ONESHOT);
}

static int on_deliver(sd_event_source *source, void *userdata)
{
	struct http *h = userdata;
	struct http_call *c;
	struct answer a;

	recycle_delivered(h);
	c = h->finished;
	if (!c)
		return 0;
	list_remove(&h->finished, c);
	if (h->finished)
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	h->delivered = c;
	a = make_answer(c);
	c->done(c->userdata, &a);
	return 0;
}

static int on_socket_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct http *h = userdata;
	int flags = 0, n;

	if (events & EPOLLIN)
		flags |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		flags |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		flags |= CURL_CSELECT_ERR;
	(void)curl_multi_socket_action(h->multi, fd, flags, &n); /* calls tell their own failure */
	take_finished(h);
	return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
	sd_event_source *source = socket_data;
	struct http *h = userdata;
	uint32_t events = 0;

	if (what == CURL_POLL_REMOVE || h->closing) {
		(void)curl_multi_assign(h->multi, fd, NULL); /* it knows the fd, or nothing to do */
		sd_event_source_disable_unref(source);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (source)
		return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
	if (sd_event_add_io(h->event, &source, fd, events, on_socket_event, h) < 0)
		return -1;
	(void)sd_event_source_set_description(source, "http-socket"); /* for debugging only */
	(void)curl_multi_assign(h->multi, fd, source);		      /* it just named this fd */
	return 0;
}

static int on_timer(sd_event_source *source, usec_t when, void *userdata)
{
	struct http *h = userdata;
	int n;

	(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &n); /* as above */
	take_finished(h);
	return 0;
}

static int on_timeout_wanted(CURLM *multi, long milliseconds, void *userdata)
{
	struct http *h = userdata;
	usec_t now;

	if (h->closing)
		return 0;
	if (milliseconds < 0)
		return sd_event_source_set_enabled(h->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	if (sd_event_now(h->event, CLOCK_BOOTTIME, &now) < 0 ||
	    sd_event_source_set_time(h->timer, now + (usec_t)milliseconds * USEC_PER_MSEC) < 0 ||
	    sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT) < 0)
		return -1;
	return 0;
}

/* Making and breaking */

static int copy(const char *s, char **ret)
{
	if (!s)
		return 0;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int copy_options(struct http *h, const struct http_options *o)
{
	if (copy(o->url, &h->url) < 0 || copy(o->ca_file, &h->ca_file) < 0 ||
	    copy(o->ca_file ? NULL : hashed_ca_directory(), &h->ca_path) < 0 ||
	    copy(o->client_cert, &h->client_cert) < 0 || copy(o->client_key, &h->client_key) < 0 ||
	    copy(o->proxy, &h->proxy) < 0 || copy(o->interface, &h->interface) < 0)
		return -ENOMEM;
	return 0;
}

static int join_loop(struct http *h)
{
	int r;

	r = sd_event_add_time(h->event, &h->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY, on_timer, h);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = sd_event_add_defer(h->event, &h->deliver, on_deliver, h);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(h->deliver, SD_EVENT_OFF);
}

static int make_handles(struct http *h)
{
	h->multi = curl_multi_init();
	h->share = curl_share_init();
	if (!h->multi || !h->share ||
	    curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)MAX_CONNECTIONS) ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)MAX_CONNECTIONS))
		return -ENOMEM;
	return 0;
}

static void ignore_sigpipe(void)
{
	struct sigaction old;

	if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN); /* fails for no valid signal */
}

static struct http_call *free_list(struct http *h, struct http_call *list)
{
	while (list) {
		struct http_call *next = list->next;

		if (list->state == CALL_RUNNING)
			(void)curl_multi_remove_handle(h->multi, list->easy); /* is in it */
		(void)call_free(list);
		list = next;
	}
	return NULL;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	h->closing = true;
	h->running = free_list(h, h->running);
	h->finished = free_list(h, h->finished);
	h->spare = free_list(h, h->spare);
	h->delivered = call_free(h->delivered);
	if (h->multi)
		(void)curl_multi_cleanup(h->multi); /* on_socket() lets go of the sockets */
	if (h->share)
		(void)curl_share_cleanup(h->share); /* nobody uses it any more */
	sd_event_source_disable_unref(h->deliver);
	sd_event_source_disable_unref(h->timer);
	sd_event_unref(h->event);
	free(h->url);
	free(h->ca_file);
	free(h->ca_path);
	free(h->client_cert);
	free(h->client_key);
	free(h->proxy);
	free(h->interface);
	free(h);
	curl_global_cleanup();
	return NULL;
}

int http_new(sd_event *event, const struct http_options *o, struct http **ret)
{
	_cleanup_(http_freep) struct http *h = NULL;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT)) /* counts; http_free() is the other side */
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (!h) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	h->event = sd_event_ref(event);
	if (!address_allowed(o->url))
		return -EINVAL;
	r = copy_options(h, o);
	if (r < 0)
		return r;
	r = join_loop(h);
	if (r < 0)
		return r;
	r = make_handles(h);
	if (r < 0)
		return r;
	ignore_sigpipe();
	*ret = TAKE(h);
	return 0;
}

int http_send(struct http *h, const struct http_request *q, http_done done, void *userdata,
	      struct http_call **ret)
{
	struct http_call *c = h->spare;
	int r;

	if (c) {
		list_remove(&h->spare, c);
	} else {
		r = call_new(h, &c);
		if (r < 0)
			return r;
	}
	buf_reset(&c->answer);
	c->error[0] = '\0';
	c->too_long = false;
	c->done = done;
	c->userdata = userdata;
	r = prepare(c, q);
	if (r < 0 || curl_multi_add_handle(h->multi, c->easy)) {
		recycle(c);
		return r < 0 ? r : -EIO;
	}
	c->state = CALL_RUNNING;
	list_push(&h->running, c);
	*ret = c;
	return 0;
}

struct http_call *http_cancel(struct http_call *c)
{
	if (!c)
		return NULL;
	assert(c->state != CALL_SPARE);
	if (c->state == CALL_RUNNING) {
		(void)curl_multi_remove_handle(c->http->multi, c->easy); /* is in it */
		list_remove(&c->http->running, c);
	} else {
		list_remove(&c->http->finished, c);
	}
	recycle(c);
	return NULL;
}
