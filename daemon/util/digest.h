/* Hashes, by libcrypto, which libcurl brings into the process anyway. */
#pragma once

#include "util/macro.h"

#define DIGEST_SHA1_SIZE   20
#define DIGEST_SHA256_SIZE 32

struct digest;

/* A running SHA-256. digest_finish() leaves it ready for the next one. */
struct digest *digest_free(struct digest *d);
int digest_new(struct digest **ret);
int digest_update(struct digest *d, const void *data, size_t size);
int digest_finish(struct digest *d, uint8_t ret[static DIGEST_SHA256_SIZE]);
DEFINE_CLEANUP(struct digest *, digest_free)

/* SHA-1 over two pieces, one after the other: what a UUIDv5 is made of. */
int digest_sha1_two(const void *a, size_t n_a, const void *b, size_t n_b,
		    uint8_t ret[static DIGEST_SHA1_SIZE]);
