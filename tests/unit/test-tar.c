/* ctl/tar: what it writes, tar reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/tar.c" /* vitalctl's files are in no library */

#include <sys/mman.h>
#include <unistd.h>

#define LONG_NAME                                                                                  \
	"dir/"                                                                                     \
	"4567890123456789012345678901234567890123456789012345678901234567890123456789012345678901" \
	"23456789"

/* What `tar ARGUMENTS` says to the archive. */
static void assert_tar(const struct buf *archive, const char *arguments, const char *wanted)
{
	int memory = memfd_create("tar", 0);
	char command[128], said[4096];
	FILE *tar;
	size_t n;

	assert_true(memory >= 0);
	assert_int_equal(write(memory, archive->data, archive->size), (ssize_t)archive->size);
	(void)snprintf(command, sizeof(command), "TZ=UTC tar -f /proc/%d/fd/%d %s 2>&1",
		       (int)getpid(), memory, arguments);
	tar = popen(command, "r");
	assert_non_null(tar);
	n = fread(said, 1, sizeof(said) - 1, tar);
	said[n] = '\0';
	assert_int_equal(pclose(tar), 0);
	assert_string_equal(said, wanted);
	(void)close(memory);
}

static void tar_reads_it(void **state)
{
	static uint8_t big[1025];
	struct buf archive = {0}, empty = {0}, one = {0}, block = {0};

	memset(big, 'b', sizeof(big));
	buf_string(&one, "x\n");
	buf_append(&block, big, 512);
	tar_add(&archive, "dir/empty", 0, &empty);
	tar_add(&archive, "dir/one", 1772368200, &one);
	tar_add(&archive, "dir/block", 1772368200, &block);
	tar_add(&archive, LONG_NAME, 1772368200, &one);
	tar_end(&archive);
	assert_false(archive.failed);
	assert_int_equal(archive.size, 512 * (1 + 2 + 2 + 2 + 2));
	assert_tar(&archive, "-t", "dir/empty\ndir/one\ndir/block\n" LONG_NAME "\n");
	assert_tar(&archive, "-xO",
		   "x\n"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbx\n");
	assert_tar(&archive, "-tv --numeric-owner dir/one",
		   "-rw------- 0/0               2 2026-03-01 12:30 dir/one\n");
	buf_done(&archive);
	buf_done(&one);
	buf_done(&block);
}

static void a_content_that_failed_is_not_hidden(void **state)
{
	struct buf archive = {0}, content = {.failed = true};

	tar_add(&archive, "x", 0, &content);
	assert_true(archive.failed);
	buf_done(&archive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tar_reads_it),
		cmocka_unit_test(a_content_that_failed_is_not_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
