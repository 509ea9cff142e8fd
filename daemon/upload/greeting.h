/*
 * Before the first batch of a run: what does this server say it holds of us (GET /v1/streams)? A
 * store that was copied or set back shows here before it does harm.
 */
#pragma once

#include "store/store.h"
#include "upload/http.h"

enum {
	GREETING_E_TRANSIENT = 1, /* not such an answer; ask again */
	GREETING_E_AHEAD = 2,	  /* the server knows a later run than we do: hold the sink */
	GREETING_E_REFUSED = 3,	  /* a status to be judged like that of a batch */
};

struct greeting {
	size_t n_behind;  /* streams of which the server holds less than it once confirmed */
	uint64_t n_again; /* records of them that are owed again */
	size_t n_unknown; /* streams under our gateway's name that this store never had */
	char why[180];	  /* of GREETING_E_* */
	char short_why[64];
};

int greeting_send(struct http *h, const char *gateway, const char *token, usec_t timeout,
		  http_done done, void *userdata, struct http_call **ret);
/* 0: go on; < 0: no memory; or GREETING_E_*. Always sets `ret`. */
int greeting_judge(struct store *s, uint32_t sink, const struct answer *a, struct greeting *ret);
