/*
 * CRC-32C: by the instruction that x86-64 (SSE 4.2) and nearly all 64-bit ARM processors have for
 * it, eight bytes in a cycle or three; elsewhere by slicing eight bytes at a time through tables
 * made at first use, about a byte a cycle. A slot of the tail is checked three times on its way,
 * and by tables that was a sixth of all that the daemon does for a record.
 */
#include "util/crc32c.h"

static uint32_t table[8][256];

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ UINT32_C(0x82f63b78) : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size)
{
	const uint8_t *p = data;

	if (table[0][1] == 0)
		make_table();
	crc = ~crc;
	for (; size >= 8; size -= 8, p += 8) {
		uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
				      (uint32_t)p[3] << 24);

		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
		      table[4][low >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
		      table[0][p[7]];
	}
	for (; size; size--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
	return ~crc;
}

#if defined(__x86_64__)

#define HAVE_INSTRUCTION 1

static bool instruction_is_there(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
								 size_t size)
{
	for (; size >= 8; size -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = (uint32_t)__builtin_ia32_crc32di(crc, word);
	}
	for (; size; size--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}

#elif defined(__aarch64__) && !defined(__clang__)

#include <sys/auxv.h>

#define HAVE_INSTRUCTION 1

static bool instruction_is_there(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

__attribute__((target("+crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
							       size_t size)
{
	for (; size >= 8; size -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_aarch64_crc32cx(crc, word);
	}
	for (; size; size--)
		crc = __builtin_aarch64_crc32cb(crc, *p++);
	return crc;
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef HAVE_INSTRUCTION
	static int there = -1;

	if (there < 0)
		there = instruction_is_there();
	if (there)
		return ~by_instruction(~crc, data, size);
#endif
	return crc32c_by_table(crc, data, size);
}
