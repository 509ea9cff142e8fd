/*
 * The `http` sink, contract 1: records -> the body of POST /v1/batches, and its answer -> a
 * verdict. Pure: no clock, no socket, no store. The same records in give the same bytes out, gzip
 * included.
 *
 * A batch holds records of one run only (the body names one boot_id, and an entry never mixes
 * runs).
 */
#pragma once

#include "model/record.h"
#include "model/verdict.h"
#include "util/buf.h"

struct batch;

/* One batch at a time, memory reused from batch to batch. */
struct batch *batch_free(struct batch *b);
int batch_new(struct batch **ret);
DEFINE_CLEANUP(struct batch *, batch_free)

/* `run`: that all records of this batch belong to. Strings and infos are copied. */
void batch_begin(struct batch *b, const char *gateway, const struct run_info *run);
/*
 * Adds a record; its clk must not be PENDING. Records of one stream come in seq order; streams may
 * interleave. `after` (the seq before the first one in this store, 0: none) counts when the stream
 * is new to the batch. < 0: no memory; then the batch is good for nothing but batch_begin().
 */
int batch_add(struct batch *b, const struct stream_info *stream, uint64_t after,
	      const struct record *r);
/* Bytes of JSON so far, uncompressed; records so far. To know when to stop adding. */
size_t batch_size(const struct batch *b);
size_t batch_count(const struct batch *b);
/*
 * Makes the body (gzip, or plain JSON) and the batch id, UUIDv5 over for each stream: id, run
 * nonce, first, last, count and the SHA-256 of its canonical records. Entries stand in the order of
 * their stream ids. Body is borrowed until the next batch_begin() or batch_finish(), which may come
 * again for the other form of the same batch.
 */
int batch_finish(struct batch *b, bool gzip, struct uuid *ret_id, const uint8_t **ret_body,
		 size_t *ret_size);

/* What came back over HTTP. status 0: no answer at all; then `transport` says why. */
enum transport_failure {
	TRANSPORT_OK,
	TRANSPORT_NETWORK,	      /* no route, refused, reset, time-out, half an answer */
	TRANSPORT_CERTIFICATE,	      /* not trusted: account */
	TRANSPORT_CERTIFICATE_TIME,   /* not yet or no longer valid */
	TRANSPORT_CLIENT_CERTIFICATE, /* the server refused ours: account */
};

struct answer {
	enum transport_failure transport;
	const char *transport_words;  /* what is the matter, for anybody; may be NULL */
	const char *transport_detail; /* curl's words for it, for who mends it; may be NULL */
	int status;
	const char *contract; /* X-Ingest-Contract, or NULL */
	usec_t retry_after;   /* as curl read it, 0: none; clamped here */
	const uint8_t *body;
	size_t size;
};

/*
 * Judges the answer to the batch last finished. `ret` is to be freed with verdict_done(). < 0: no
 * memory.
 */
int receipt_judge(const struct batch *b, const struct answer *a, struct verdict *ret);

/* One element of GET /v1/streams. */
struct stream_position {
	struct uuid stream;
	uint64_t last_seq;
};
/* Parses that answer into an array, sorted by stream, which the caller frees. > 0: not such an answer (`why` says it). */
enum { SINK_E_NOT_UNDERSTOOD = 1 };
int streams_parse(const struct answer *a, struct stream_position **ret, size_t *ret_n,
		  const char **ret_why);

/* What GET /v1/streams/<id>/windows was asked: windows of `width` numbers, counted from from_seq. */
struct windows_query {
	uint64_t from_seq, to_seq, width;
};
/* What the server holds within one of them: the SHA-256 of its canonical records, in seq order. */
struct window {
	uint64_t first, last, count;
	uint8_t sha256[32];
};
/*
 * Parses that answer into an array the caller frees: ascending, each window inside of one that was
 * asked for, none that is empty. > 0: not such an answer (`why` says it).
 */
int windows_parse(const struct answer *a, const struct windows_query *q, struct window **ret,
		  size_t *ret_n, const char **ret_why);

/*
 * Canonical bytes, the base of batch ids and of windows. Little-endian: seq u64, t_us i64, clk u8,
 * then, by type:
 *
 *   heart_rate   bpm u16, contact u8, energy_kj i32 or -1, n u16, rr u16...
 *   ecg          dt_ns u32, n u32, i32...
 *   gap          reason u8, from_us i64, to_us i64, n u32
 */
void record_canonical(const struct record *r, struct buf *out);
