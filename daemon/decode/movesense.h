/* How a Movesense sensor is asked for its streams: the dialogue of decode/movesense.c. */
#pragma once

#include "model/profile.h"

/* What we subscribe to, by the reference that answers and data then carry. */
enum movesense_stream {
	MOVESENSE_HELLO = 1,
	MOVESENSE_ECG_MICROVOLTS,
	MOVESENSE_ECG_RAW_125,
	MOVESENSE_ECG_RAW_128,
	MOVESENSE_HEART_RATE,
	MOVESENSE_ACCELERATION,
	MOVESENSE_MAX_,
};

void movesense_dialogue(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
			size_t size);
