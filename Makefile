# Parley. `make help` lists the targets.

GO      ?= go
BUILD   := build
# The oldest x86-64 machines, and the processor that QEMU emulates.
export GOAMD64 := v1
ISO     := $(BUILD)/parley.iso
# What the git commit says, so that equal commits give equal images.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
EPOCH   ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# Debian packages: to build the image, and to run it.
PACKAGES := ca-certificates dpkg e2fsck-static grub-common grub-efi-amd64-bin grub-pc-bin \
	mtools ovmf qemu-system-x86 tzdata xorriso zstd

# And for the tests: clients and tools that we did not write.
TEST_PACKAGES := chromium dnsmasq-base e2fsprogs fonts-dejavu-core gcc go-sendxmpp iproute2 iputils-ping knot ldap-utils \
	libc6-dev nftables openssh-client openssl putty-tools python3-aioxmpp python3-slixmpp slapd sshpass

SOURCES := go.mod go.sum $(shell find cmd image init mmp qemu services -type f \
	-not -name '*_test.go' -not -path '*/testdata/*' -not -name '*.md')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: deps
deps: ## install the Debian packages that building and running need
	@image/deps $(PACKAGES)

.PHONY: check-go
check-go:
	@image/check-go "$(GO)"

.PHONY: build
build: check-go ## build the host program, build/parley
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o $(BUILD)/parley ./cmd/parley

.PHONY: iso
iso: check-go $(ISO) ## build the image, build/parley.iso

# Written only when the version changes, so that it alone rebuilds the image.
$(BUILD)/version: FORCE
	@mkdir -p $(BUILD)
	@echo '$(VERSION) $(EPOCH)' | cmp -s - $@ || echo '$(VERSION) $(EPOCH)' > $@

.PHONY: FORCE
FORCE:

$(ISO): $(SOURCES) $(BUILD)/version
	$(GO) run ./cmd/mkimage -o $@ -cache $(BUILD)/cache -version '$(VERSION)' -epoch $(EPOCH)

.PHONY: run
run: check-go deps iso ## build the image and boot it in QEMU, the console on this terminal
	@$(GO) build -o $(BUILD)/boot ./cmd/boot
	@$(BUILD)/boot -iso $(ISO) -state $(BUILD)/state.img $(BOOTFLAGS)

.PHONY: test
test: check-go test-deps ## unit, in-process, real-client and boot tests
	$(GO) test -race -timeout 15m ./...
	$(MAKE) test-boot

.PHONY: test-deps
test-deps: ## install the Debian packages that the tests need
	@image/deps $(PACKAGES) $(TEST_PACKAGES)

.PHONY: fmt
fmt: ## fail where gofmt would change something
	@out=$$(gofmt -l cmd image init mmp qemu services); [ -z "$$out" ] || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: lint
lint: ## staticcheck
	$(GO) tool staticcheck -checks all,-ST1003,-ST1020,-ST1021,-ST1022 ./...

.PHONY: test-boot
test-boot: check-go $(ISO) ## boot the image: firmware, disks, power, the article, real clients
	PARLEY_BOOT_TESTS=1 PARLEY_ISO=$(CURDIR)/$(ISO) PARLEY_BOOT_LOGS=$(CURDIR)/$(BUILD)/logs $(GO) test -count=1 -p 1 -timeout 20m -v ./qemu/... ./init

.PHONY: test-article
test-article: check-go $(ISO) ## the article on three VMs with a certificate each, a database, LDAP users, power cuts of three leaders, and one frozen
	PARLEY_BOOT_TESTS=1 PARLEY_ISO=$(CURDIR)/$(ISO) PARLEY_BOOT_LOGS=$(CURDIR)/$(BUILD)/logs PARLEY_ARTICLE=each PARLEY_KILLS=3 $(GO) test -count=1 -timeout 20m -v -run ArticleClusterOfThree ./qemu

.PHONY: power-cuts
power-cuts: check-go $(ISO) ## kill QEMU ten times during writes: nothing acknowledged is lost
	PARLEY_BOOT_TESTS=1 PARLEY_ISO=$(CURDIR)/$(ISO) PARLEY_KILLS=10 $(GO) test -count=1 -timeout 30m -v -run OutliveQEMU ./qemu

.PHONY: bench
bench: check-go ## benchmarks: scanner, store, router, memory of an idle session; what three nodes carry, and how fast
	$(GO) test -run '^$$' -bench . -benchmem ./services/xmpp/stream ./services/xmpp/store ./services/xmpp/router
	$(GO) test -run '^$$' -bench IdleSession -benchtime 1x ./services/xmpp/edge
	PARLEY_BENCH=1 $(GO) test -count=1 -v -run '^(TestThroughput|TestLatency)$$' ./services/xmpp/faults

FAULTS_TIME ?= 30m
# Drawn where it is not given; NODES may be 5, and FAULTS names some, with commas.
SEED   ?=
NODES  ?=
FAULTS ?=

.PHONY: faults
faults: check-go ## break a cluster for FAULTS_TIME (30m) from SEED while clients chat: nothing acknowledged is lost
	FAULTS_TIME='$(FAULTS_TIME)' SEED='$(SEED)' NODES='$(NODES)' FAULTS='$(FAULTS)' $(GO) test -count=1 -timeout 0 -v -run '^TestFaults$$' ./services/xmpp/faults

GAPS ?= 50

.PHONY: gaps
gaps: check-go ## lose the leader GAPS (50) times in each way, and measure the gap in delivery
	GAPS='$(GAPS)' $(GO) test -count=1 -timeout 0 -v -run '^TestGaps$$' ./services/xmpp/faults

KILLS ?= 20

.PHONY: bridge-kills
bridge-kills: check-go ## kill the server of a Call Bridge KILLS (20) times: connected again within 2 s, nothing acknowledged is lost
	BRIDGE_KILLS='$(KILLS)' $(GO) test -count=1 -timeout 20m -v -run '^TestCallBridgeOutlivesItsServers$$' ./services/node

.PHONY: trouble
trouble: check-go ## full disks, clocks and firewalls on nodes with a network each: what diagnose says of them, and how soon
	PARLEY_TROUBLE=1 $(GO) test -count=1 -timeout 20m -v -run '^(TestDiagnoseMendsMachines|TestDiagnoseInTime)$$' ./services/node

FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: check-go ## run each fuzz test for FUZZTIME (30s)
	@for dir in $$(grep -rlE '^func Fuzz' --include='*_test.go' cmd image init mmp qemu services | xargs -n1 dirname | sort -u); do \
		for f in $$($(GO) test -list '^Fuzz' ./$$dir | grep '^Fuzz'); do \
			echo "$$dir $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$dir || exit 1; \
		done; \
	done

.PHONY: reproducible
reproducible: check-go $(ISO) ## build the image a second time and compare
	$(GO) run ./cmd/mkimage -o $(BUILD)/again.iso -cache $(BUILD)/cache -version '$(VERSION)' -epoch $(EPOCH)
	cmp $(ISO) $(BUILD)/again.iso
	@rm $(BUILD)/again.iso

.PHONY: clean
clean: ## remove what was built; the state disk and the downloads stay
	@find $(BUILD) -mindepth 1 -maxdepth 1 ! -name cache ! -name state.img -exec rm -rf {} + 2>/dev/null || true
