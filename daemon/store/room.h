/* How much room the card has left, and what is kept for the moment when it has none. Private to store/. */
#pragma once

#include "store/state.h"

/* Before the database is opened: a start needs some room, and gives up the ballast for it. */
void room_before_open(struct store *s);
/* After a commit or checkpoint failed with `r`: true if room was made and it is worth another try. */
bool room_save(struct store *s, int r);
/* Looks how full the card is. */
void room_look(struct store *s);
/* Idle work: looks, and lays in ballast where there is room for it. */
void room_tend(struct store *s);
/* 0: room; 1: history must go; 2: and no new curves; 3: and nothing new. */
unsigned room_stage(const struct store *s);
/* TRUNCATE, waiting for nobody: gives the space of the WAL back. True if it went through. */
bool room_truncate(struct store *s);
