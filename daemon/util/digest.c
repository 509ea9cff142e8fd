/*
 * The one door to libcrypto. SHA-256 names what a batch holds, SHA-1 is inside UUIDv5. A well-kept
 * library that uses the processor's instructions beats our own, and libcurl has it loaded already.
 */
#include "util/digest.h"

#include <openssl/evp.h>

struct digest {
	EVP_MD_CTX *context;
};

struct digest *digest_free(struct digest *d)
{
	if (!d)
		return NULL;
	EVP_MD_CTX_free(d->context);
	free(d);
	return NULL;
}

int digest_new(struct digest **ret)
{
	_cleanup_(digest_freep) struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->context = EVP_MD_CTX_new();
	if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	*ret = TAKE(d);
	return 0;
}

int digest_update(struct digest *d, const void *data, size_t size)
{
	return EVP_DigestUpdate(d->context, data, size) == 1 ? 0 : -EIO;
}

int digest_finish(struct digest *d, uint8_t ret[static DIGEST_SHA256_SIZE])
{
	uint8_t hash[DIGEST_SHA256_SIZE];

	if (EVP_DigestFinal_ex(d->context, hash, NULL) != 1 ||
	    EVP_DigestInit_ex(d->context, NULL, NULL) != 1)
		return -EIO;
	memcpy(ret, hash, sizeof(hash));
	return 0;
}

int digest_sha1_two(const void *a, size_t n_a, const void *b, size_t n_b,
		    uint8_t ret[static DIGEST_SHA1_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
		  EVP_DigestUpdate(context, a, n_a) == 1 &&
		  EVP_DigestUpdate(context, b, n_b) == 1 &&
		  EVP_DigestFinal_ex(context, ret, NULL) == 1;

	EVP_MD_CTX_free(context);
	return ok ? 0 : -EIO;
}
