# vitald: everything is `make`, `make demo`, `make test`, `make bench`, `make install`. See README.md.
#
#   SANITIZE=1     builds with ASan and UBSan into a directory of its own
#   DESTDIR, PREFIX, SYSCONFDIR   where `make install` puts things, and the *DIRs below
#   BENCH_OPTIONS='--full --json FILE'   for `make bench`, see scripts/bench --help
#   O=dir          another build directory
#   SIM=program    another simulated radio for `make test-vm`
#   V=1            shows the commands

VERSION := 0.1.0
Q := $(if $(V),,@)
SAY := $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),@:,@echo)
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
O ?= $(if $(SANITIZE),build-sanitize,build)
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
# sbin: systemd starts it, but an owner types `vitald --check-config`, so libexec would be in the way.
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
SHAREDIR ?= $(PREFIX)/share/vitald
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog
# systemd looks below /usr/local too, dbus-daemon does not.
DBUSDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/share,$(SYSCONFDIR))/dbus-1/system.d

LIBS := sqlite3 libcurl libsystemd jansson libdeflate libcrypto bluez
PKG = pkg-config

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wcast-align -Wno-unused-parameter
HARDEN := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) \
	$(if $(findstring gcc,$(CC)),-fstack-clash-protection)
comma := ,
SANITIZERS := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer)
ALL_CPPFLAGS = -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -DVITALD_VERSION='"$(VERSION)"' \
	-DVITALD_SYSCONFDIR='"$(SYSCONFDIR)"' -Idaemon $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=gnu11 $(WARNINGS) $(HARDEN) $(SANITIZERS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,--as-needed $(SANITIZERS) $(LDFLAGS)
# Asked when first needed, so that `make demo` can install them first.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG) --cflags $(LIBS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell $(PKG) --libs $(LIBS)) -lm)$(PKG_LIBS)

ROOMS := util model source decode store sink upload control
ROOM_SOURCES := $(sort $(wildcard $(ROOMS:%=daemon/%/*.c)))
DAEMON_SOURCES := $(sort $(wildcard daemon/*.c))
CTL_SOURCES := $(sort $(wildcard daemon/ctl/*.c))
UNIT_SOURCES := $(sort $(wildcard tests/unit/test-*.c))
UNIT_HELPERS := $(sort $(filter-out $(UNIT_SOURCES),$(wildcard tests/unit/*.c)))
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz-*.c))
BENCH_SOURCES := $(sort $(wildcard tests/bench/bench*.c))
BENCH_HELPERS := $(sort $(filter-out $(BENCH_SOURCES),$(wildcard tests/bench/*.c)))

objects = $(patsubst %.c,$(O)/%.o,$(1))
ROOM_OBJECTS := $(call objects,$(ROOM_SOURCES))
# daemon.c and its neighbours without main(), for tests and benchmarks that join rooms themselves.
JOIN_OBJECTS := $(call objects,$(filter-out daemon/main.c,$(DAEMON_SOURCES)))

PROGRAMS := $(if $(DAEMON_SOURCES),$(O)/vitald) $(if $(CTL_SOURCES),$(O)/vitalctl)
UNIT_TESTS := $(UNIT_SOURCES:tests/unit/%.c=$(O)/tests/%)
FUZZERS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(O)/fuzz/%)
BENCHES := $(BENCH_SOURCES:tests/bench/%.c=$(O)/bench/%)

.PHONY: all clean demo test test-long test-vm bench check lint unit unit-build fuzz-build install uninstall deps
all: $(PROGRAMS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) '  CC $@'
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/libvitald.a: $(ROOM_OBJECTS)
	@rm -f $@
	$(SAY) '  AR $@'
	$(Q)$(AR) rcs $@ $^

$(O)/vitald: $(call objects,$(DAEMON_SOURCES)) $(O)/libvitald.a
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(O)/vitalctl: $(call objects,$(CTL_SOURCES)) $(O)/libvitald.a
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(UNIT_TESTS): $(O)/tests/%: $(O)/tests/unit/%.o $(JOIN_OBJECTS) $(O)/libvitald.a
	@mkdir -p $(@D)
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(O)/libvitald.a $(PKG_LIBS) -lcmocka -lz -lm

# These stop the clock and bring a bus of their own: not for every test.
$(O)/tests/test-bluez $(O)/tests/test-bluez_recovery $(O)/tests/test-bluez_others: $(call objects,$(UNIT_HELPERS))
$(O)/tests/test-network $(O)/tests/test-fleet: $(O)/tests/unit/told-time.o
$(O)/tests/test-sleep: $(O)/tests/unit/told-time.o $(O)/tests/unit/fake-bus.o

$(BENCHES): $(O)/bench/%: $(O)/tests/bench/%.o $(call objects,$(BENCH_HELPERS)) $(JOIN_OBJECTS) \
		$(O)/libvitald.a
	@mkdir -p $(@D)
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lz -lm

# Fuzzers are built by clang, with coverage counters in every room; -g1 keeps them small.
FUZZ_FLAGS := -std=gnu11 -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -w
FUZZ_OBJECTS := $(ROOM_SOURCES:%.c=$(O)/fuzz/%.o)
$(O)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) '  CLANG $@'
	$(Q)clang $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(O)/fuzz/librooms.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(SAY) '  AR $@'
	$(Q)$(AR) rcs $@ $^

$(FUZZERS): $(O)/fuzz/%: $(O)/fuzz/tests/fuzz/%.o $(O)/fuzz/librooms.a
	$(SAY) '  CLANG $@'
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

# The daemon with clocks that a test moves, for tests/system.
$(O)/tests/vitald-told: $(O)/tests/system/told-clock.o $(call objects,$(DAEMON_SOURCES)) $(O)/libvitald.a
	@mkdir -p $(@D)
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(O)/tests/fake-logind: $(O)/tests/system/fake-logind.o
	@mkdir -p $(@D)
	$(SAY) '  LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

unit-build: $(UNIT_TESTS) $(O)/tests/vitald-told $(O)/tests/fake-logind
fuzz-build: $(FUZZERS)
unit: $(UNIT_TESTS)
	@scripts/run-unit $(UNIT_TESTS)

demo:
	@scripts/deps demo
	@$(MAKE) --no-print-directory all
	@VITALD_BUILD=$(O) scripts/demo

bench:
	@scripts/deps bench
	@$(MAKE) --no-print-directory all $(BENCHES)
	@VITALD_BUILD=$(O) scripts/bench $(BENCH_OPTIONS)

UNITS := vitald.service vitald-sync.service vitald-sync.timer vitald-reconcile.service \
	vitald-reconcile.timer vitald-cleanup.service vitald-cleanup.timer vitald-recover.path \
	vitald-recover.service
# What several units have in common is written once: a line @NAME@ is the file systemd/name.in.
FILL_UNIT = sed -e '/^@BACKGROUND@$$/{r systemd/background.in' -e 'd}' systemd/$$unit | \
	sed -e '/^@SANDBOX@$$/{r systemd/sandbox.in' -e 'd}' | sed -e 's|@SBINDIR@|$(SBINDIR)|g'
CONFDIR = $(SYSCONFDIR)/vitald

# An owner's vitald.conf is never touched: the new one goes beside it.
install: all
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(BINDIR) $(UNITDIR) $(SYSUSERSDIR) $(CATALOGDIR) \
		$(DBUSDIR) $(SHAREDIR) $(CONFDIR)/vitald.conf.d $(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man8)
	install -m 0755 $(O)/vitald $(DESTDIR)$(SBINDIR)/vitald
	install -m 0755 $(O)/vitalctl $(DESTDIR)$(BINDIR)/vitalctl
	for unit in $(UNITS); do $(FILL_UNIT) >$(DESTDIR)$(UNITDIR)/$$unit && \
		chmod 0644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	install -m 0644 systemd/vitald.sysusers $(DESTDIR)$(SYSUSERSDIR)/vitald.conf
	install -m 0644 systemd/vitald.catalog $(DESTDIR)$(CATALOGDIR)/vitald.catalog
	install -m 0644 systemd/org.vitald.conf $(DESTDIR)$(DBUSDIR)/org.vitald.conf
	install -m 0644 systemd/l2cap.conf $(DESTDIR)$(SHAREDIR)/l2cap.conf
	install -m 0644 systemd/vitalctl.1 $(DESTDIR)$(MANDIR)/man1/vitalctl.1
	install -m 0644 config/vitald.conf.5 $(DESTDIR)$(MANDIR)/man5/vitald.conf.5
	install -m 0644 systemd/vitald.8 $(DESTDIR)$(MANDIR)/man8/vitald.8
	scripts/install-config config/vitald.conf $(DESTDIR)$(CONFDIR)/vitald.conf
	@scripts/after-install install '$(DESTDIR)' '$(CONFDIR)'

# State and configuration stay: they are the owner's.
uninstall:
	@scripts/after-install uninstall '$(DESTDIR)' '$(CONFDIR)'
	rm -f $(addprefix $(DESTDIR),$(SBINDIR)/vitald $(BINDIR)/vitalctl $(UNITS:%=$(UNITDIR)/%) \
		$(SYSUSERSDIR)/vitald.conf $(CATALOGDIR)/vitald.catalog $(DBUSDIR)/org.vitald.conf \
		$(SHAREDIR)/l2cap.conf $(MANDIR)/man1/vitalctl.1 $(MANDIR)/man5/vitald.conf.5 $(MANDIR)/man8/vitald.8)

# Both end with one line, "N passed, N failed". test-long kills ten times as often.
test:
	@scripts/test
test-long:
	@VITALD_LONG=1 scripts/test
# As installed, in an emulated Debian with systemd and bluetoothd; test has a part of it. 77: there is no QEMU.
test-vm:
	@VITALD_BUILD=$(O) VITALD_SIM='$(SIM)' scripts/test-vm || [ $$? = 77 ]
lint:
	@scripts/lint
check: lint
deps:
	@scripts/deps

clean:
	rm -rf build build-sanitize tests/*/__pycache__ tests/*/*/__pycache__

-include $(patsubst %.o,%.d,$(ROOM_OBJECTS) $(call objects,$(DAEMON_SOURCES) $(CTL_SOURCES) \
	$(UNIT_SOURCES) $(UNIT_HELPERS) tests/system/told-clock.c tests/system/fake-logind.c $(BENCH_SOURCES) $(BENCH_HELPERS)) $(FUZZ_OBJECTS) \
	$(FUZZ_SOURCES:%.c=$(O)/fuzz/%.o))
