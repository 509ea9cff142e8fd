/*
 * `vitalctl backup`, `vitalctl check`, `vitalctl store downgrade`: what is done to a store as a
 * whole, in this process, with the rights of whoever calls (store/copy.h). How far it is shows on a
 * terminal only.
 */
#include "store/copy.h"

#include "ctl/print.h"
#include "util/become.h"
#include "util/human.h"
#include "util/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct showing {
	const char *doing;
	bool terminal;
	usec_t began, shown;
};

static bool on_progress(void *userdata, unsigned thousandths)
{
	struct showing *s = userdata;
	usec_t now = clock_boot_usec();
	char age[HUMAN_SIZE];

	if (!s->terminal || now < s->shown + USEC_PER_SEC / 5)
		return true;
	s->shown = now;
	if (thousandths)
		(void)fprintf(stderr, "\r%s: %u %%\033[K", s->doing, thousandths / 10);
	else
		(void)fprintf(stderr, "\r%s: %s\033[K", s->doing,
			      human_duration(now - s->began, age));
	return true;
}

static struct showing show(const char *doing)
{
	return (struct showing){.doing = doing,
				.terminal = isatty(STDERR_FILENO) == 1,
				.began = clock_boot_usec()};
}

static void hide(const struct showing *s)
{
	if (s->terminal)
		(void)fputs("\r\033[K", stderr); /* a terminal that went away is no trouble */
}

static int complain(int r, const char *why)
{
	(void)fprintf(stderr, "vitalctl: %s\n", why);
	switch (r) {
	case STORE_E_DENIED: return EXIT_DENIED;
	case STORE_E_ABSENT:
	case STORE_E_OWNED: return EXIT_UNAVAILABLE;
	case STORE_E_CORRUPT:
	case STORE_E_NEWER: return EXIT_BAD_DATA;
	case COPY_E_EXISTS: return EXIT_USAGE;
	default: return EXIT_DEGRADED;
	}
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* What only memory has is committed first. Without a daemon the tail stays where it is. */
static bool have_it_committed(struct ctl *ctl)
{
	_cleanup_(tables_done) struct tables t = {0};

	return client_sync(ctl->client, true, &t) == 0;
}

int command_backup(struct ctl *ctl, int argc, char **argv)
{
	struct showing showing = show("copying");
	char why[256] = "", size[HUMAN_SIZE];
	struct buf page = {0};
	bool asked;
	int r;

	if (argc < 2)
		return command_lacks("backup", "a FILE that is not there yet");
	if (argc > 2)
		return command_bad_argument("backup", argv[2]);
	asked = have_it_committed(ctl);
	r = copy_backup(ctl->state_dir, argv[1], on_progress, &showing, why);
	hide(&showing);
	if (r != 0)
		return complain(r, why);
	if (ctl->json) {
		struct json j = json_make(&page);

		json_open(&j, '{');
		json_key(&j, "file");
		json_text(&j, argv[1]);
		json_key(&j, "bytes");
		json_uint(&j, size_of(argv[1]));
		json_close(&j, '}');
		buf_string(&page, "\n");
	} else {
		buf_printf(&page, "%s: %s, looked over and whole. It is health data.\n", argv[1],
			   human_size(size_of(argv[1]), size));
		if (!asked)
			buf_string(&page, "No daemon answered: what it had heard and not committed "
					  "yet is not in it.\n");
	}
	return print_end(&page, EXIT_FINE);
}

/* --- check --- */

static int audit(struct ctl *ctl, bool *ret_balanced)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r = client_query(ctl->client, "audit", &t);

	if (r)
		return print_failure(ctl, r);
	*ret_balanced = table_get_u64(tables_find(&t, "audit"), 0, "balanced", 0) != 0;
	return EXIT_FINE;
}

static int say_sound(struct ctl *ctl, const char *file, bool balanced)
{
	struct buf page = {0};

	if (ctl->json) {
		struct json j = json_make(&page);

		json_open(&j, '{');
		json_key(&j, "damaged");
		json_bool(&j, false);
		json_key(&j, "balanced");
		json_bool(&j, balanced);
		json_close(&j, '}');
		buf_string(&page, "\n");
	} else if (file) {
		buf_printf(&page, "%s is sound.\n", file);
	} else {
		buf_string(&page, balanced ? "The store is sound, and its ledger balances.\n"
					   : "The store is sound, but ITS LEDGER DOES NOT BALANCE: "
					     "see `vitalctl audit`.\n");
	}
	return print_end(&page, balanced ? EXIT_FINE : EXIT_DEGRADED);
}

static int say_damaged(struct ctl *ctl, const char *file, const char *why)
{
	struct buf page = {0};

	if (ctl->json) {
		struct json j = json_make(&page);

		json_open(&j, '{');
		json_key(&j, "damaged");
		json_bool(&j, true);
		json_key(&j, "why");
		json_text(&j, why);
		json_close(&j, '}');
		buf_string(&page, "\n");
	} else if (file) {
		buf_printf(&page,
			   "DAMAGED: %s: %s\nNothing was changed. It is no copy to go back "
			   "to: make another.\n",
			   file, why);
	} else {
		buf_printf(&page,
			   "DAMAGED: %s\nNothing was changed. A restart of vitald that meets the "
			   "damage sets the store\naside and brings over what can be read: see "
			   "`man vitald`.\n",
			   why);
	}
	return print_end(&page, EXIT_BAD_DATA);
}

int command_check(struct ctl *ctl, int argc, char **argv)
{
	struct showing showing = show("checking");
	const char *file = NULL;
	bool whole = false, balanced = true;
	char why[256] = "";
	int r;

	for (int i = 1; i < argc; i++) {
		if (streq(argv[i], "--whole"))
			whole = true;
		else if (argv[i][0] == '-' || file)
			return command_bad_argument("check", argv[i]);
		else
			file = argv[i];
	}
	r = copy_check(ctl->state_dir, file, whole, on_progress, &showing, why);
	hide(&showing);
	if (r == STORE_E_CORRUPT)
		return say_damaged(ctl, file, why);
	if (r != 0)
		return complain(r, why);
	if (!file) {
		r = audit(ctl, &balanced);
		if (r != EXIT_FINE)
			return r;
	}
	return say_sound(ctl, file, balanced);
}

/* --- store downgrade --- */

static bool read_version(const char *text, int *ret)
{
	char *end;
	long n = strtol(text, &end, 10);

	*ret = (int)n;
	return *text >= '1' && *text <= '9' && !*end && n < 1000;
}

int command_store(struct ctl *ctl, int argc, char **argv)
{
	const char *to = NULL;
	char why[256] = "", backup[512];
	int version, r;

	if (argc < 2)
		return command_lacks("store", "a word: downgrade --to VERSION");
	if (!streq(argv[1], "downgrade"))
		return command_bad_argument("store", argv[1]);
	for (int i = 2; i < argc; i++)
		if (!command_value(argc, argv, &i, "--to", &to))
			return command_bad_argument("store downgrade", argv[i]);
	if (!to)
		return command_lacks("store", "downgrade --to VERSION");
	if (!read_version(to, &version))
		return command_bad_argument("store", to);
	r = become_owner_of(ctl->state_dir);
	if (r < 0) {
		(void)fprintf(stderr, "vitalctl: cannot become the owner of %s\n", ctl->state_dir);
		return EXIT_DENIED;
	}
	r = copy_downgrade(ctl->state_dir, ctl->runtime_dir, version, backup, why);
	if (r == STORE_E_OWNED) {
		(void)fprintf(stderr, "vitalctl: %s: `sudo systemctl stop vitald` first\n", why);
		return EXIT_UNAVAILABLE;
	}
	if (r == COPY_E_UNDER_WAY) {
		(void)fprintf(stderr,
			      "vitalctl: %s: `sudo systemctl start vitald`, wait until `vitalctl "
			      "status` no longer says so, stop vitald and try again\n",
			      why);
		return EXIT_UNAVAILABLE;
	}
	if (r == STORE_E_NOTHING) {
		(void)printf("The store has version %d already.\n", version);
		return EXIT_FINE;
	}
	if (r != 0)
		return complain(r, why);
	(void)printf("The store has version %d now; as it was it is kept in %s.\n"
		     "Install the older vitald before you start it: this one would take it up "
		     "again.\n",
		     version, backup);
	return EXIT_FINE;
}
