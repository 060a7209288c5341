/*
 * test_power_loss.c — whenever the power goes, the newest checkpoint that is whole is one
 * that the run had told of as saved, or a newer one, and the run goes on from it to the
 * bits of an undisturbed run.
 *
 * A run's operations on files are recorded. What a disk may hold after the first k of them
 * is enumerated under a weak model (Pillai et al. 2014, "All File Systems Are Not Created
 * Equal", sec. 3):
 *
 *   - data of a file: what was synced; what was written since is there, or is not, or half
 *     of it is, or its place is there and holds zeros;
 *   - names of a folder: each creation, renaming and removal since the folder was synced
 *     has happened or has not, whatever became of the others.
 *
 *     test_power_loss [STEP]
 *
 * runs each STEP-th of the states that differ to its end; all of them without one.
 *
 * A run that takes the folder of another is recorded as well: at each instant the newest
 * checkpoint is the other's newest, or this run's, and that from when it is told of.
 *
 * Controls: the same run without the syncs of files, or of folders, must fail.
 */
#include "trainer.h"
#include "trainer_run.h"

enum { OPS_MAX = 4000, NODES_MAX = 200, NAMES_MAX = 40, NAME_BYTES = 64 };

/* ---- operations ---- */

enum what {
    CREATE,
    WRITE,
    CUT,
    SYNC,
    RENAME,
    UNLINK,
    MAKE_FOLDER,
    SYNC_FOLDER,
    SYNC_ABOVE,
    SAVED
};

struct op {
    enum what what;
    int node;
    char name[NAME_BYTES], to[NAME_BYTES]; /* in the run's folder */
    int64_t bytes, place;
    char *data;
};

static struct op op[OPS_MAX];
static int n_op, n_node, node_of_fd[1024];
static char name_of[NODES_MAX][NAME_BYTES]; /* that it was made with */
static bool takes_over;                     /* the folder is another run's before */
enum { NO_NODE = -1, FOLDER = -2, ABOVE = -3, OTHER_PLACE = 8999 };

static struct op *add(enum what what)
{
    if (n_op == OPS_MAX)
        abort();
    op[n_op].what = what;
    return &op[n_op++];
}

static const char *name_in_folder(const char *path)
{
    return strncmp(path, "f/", 2) == 0 ? path + 2 : NULL;
}

/* How far a checkpoint is, -1: the name tells nothing. */
static int64_t place_of(const char *name)
{
    long iteration, chunk;
    if (sscanf(name, "checkpoint_%ld_chunk_%ld.", &iteration, &chunk) == 2)
        return iteration * 1000 + chunk;
    return sscanf(name, "checkpoint_%ld.", &iteration) == 1 ? iteration * 1000 + 999 : -1;
}

/* ---- recorded ---- */

static int seen_open(const char *path, int flags, mode_t mode)
{
    struct stat st;
    const char *name = name_in_folder(path);
    bool is_new = name && (flags & O_CREAT) && rnn__io_system.stat(path, &st) != 0;
    int fd = rnn__io_system.open(path, flags, mode);
    if (fd < 0 || fd >= 1024)
        return fd;
    node_of_fd[fd] = strcmp(path, "f") == 0   ? FOLDER
                     : strcmp(path, ".") == 0 ? ABOVE
                                              : NO_NODE;
    for (int i = 0; name && !is_new && (flags & O_CREAT) && i < n_node; i++)
        if (strcmp(name_of[i], name) == 0)
            node_of_fd[fd] = i;
    if (is_new && n_node < NODES_MAX) {
        struct op *o = add(CREATE);
        snprintf(name_of[n_node], NAME_BYTES, "%s", name);
        snprintf(o->name, sizeof o->name, "%s", name);
        o->node = node_of_fd[fd] = n_node++;
    }
    return fd;
}
static ssize_t seen_write(int fd, const void *data, size_t n)
{
    ssize_t done = rnn__io_system.write(fd, data, n);
    if (done > 0 && node_of_fd[fd] >= 0) {
        struct op *o = add(WRITE);
        o->node = node_of_fd[fd];
        o->bytes = done;
        o->data = malloc((size_t)done);
        memcpy(o->data, data, (size_t)done);
    }
    return done;
}
static int seen_ftruncate(int fd, off_t bytes)
{
    struct op *o = add(CUT);
    o->node = node_of_fd[fd];
    o->bytes = bytes;
    return rnn__io_system.ftruncate(fd, bytes);
}

static bool is_checkpoint(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".safetensors") == 0;
}

/* A checkpoint is told of as saved when its folder has been synced. */
static void note_saved(void)
{
    const struct op *last = &op[n_op - 1];
    bool is_new = last->what == RENAME && is_checkpoint(last->to);
    int64_t place = is_new ? place_of(last->to) : -1;
    add(SYNC_FOLDER);
    if (place >= 0)
        add(SAVED)->place = place;
}
static int seen_fsync(int fd)
{
    if (node_of_fd[fd] == FOLDER)
        note_saved();
    else if (node_of_fd[fd] == ABOVE)
        add(SYNC_ABOVE);
    else if (node_of_fd[fd] >= 0)
        add(SYNC)->node = node_of_fd[fd];
    return rnn__io_system.fsync(fd);
}
static int seen_rename(const char *from, const char *to)
{
    struct op *o = add(RENAME);
    snprintf(o->name, sizeof o->name, "%s", name_in_folder(from));
    snprintf(o->to, sizeof o->to, "%s", name_in_folder(to));
    return rnn__io_system.rename(from, to);
}
static int seen_unlink(const char *path)
{
    snprintf(add(UNLINK)->name, NAME_BYTES, "%s", name_in_folder(path));
    return rnn__io_system.unlink(path);
}
static int seen_mkdir(const char *path, mode_t mode)
{
    add(MAKE_FOLDER);
    return rnn__io_system.mkdir(path, mode);
}

static void record(const char *line)
{
    struct rnn__io seen = rnn__io_system;
    seen.open = seen_open, seen.write = seen_write, seen.ftruncate = seen_ftruncate;
    seen.fsync = seen_fsync, seen.rename = seen_rename, seen.unlink = seen_unlink;
    seen.mkdir = seen_mkdir;
    rnn__io = &seen;
    int status = run_settings(trainer_settings, line);
    rnn__io = &rnn__io_system;
    CHECK(status == 0, "%s", errors);
}

/* ---- what a disk may hold ---- */

struct node {
    char *now, *safe; /* as the run sees it, as the disk has it for sure */
    int64_t n_now, n_safe;
};

struct names {
    int n;
    struct {
        char name[NAME_BYTES];
        int node;
    } entry[NAMES_MAX];
};

static struct node node[NODES_MAX];
static struct names now, safe;
static struct op
    pending[64]; /* of names, since the folder was synced; RENAME has its node */
static int n_pending;
static bool made, made_safe;               /* the folder itself */
static int n_before;                       /* nodes that were there before */
static int64_t told;                       /* the newest place told of as saved */
static bool drop_syncs, drop_folder_syncs; /* the controls */

static int find(const struct names *names, const char *name)
{
    int i = 0;
    while (i < names->n && strcmp(names->entry[i].name, name) != 0)
        i++;
    return i;
}

static void unset(struct names *names, const char *name)
{
    int i = find(names, name);
    if (i < names->n)
        names->entry[i] = names->entry[--names->n];
}

static void set(struct names *names, const char *name, int at)
{
    int i = find(names, name);
    if (i == NAMES_MAX)
        abort();
    names->n += i == names->n;
    snprintf(names->entry[i].name, NAME_BYTES, "%s", name);
    names->entry[i].node = at;
}

static void apply(struct names *names, const struct op *o)
{
    if (o->what == CREATE)
        set(names, o->name, o->node);
    if (o->what == RENAME)
        set(names, o->to, o->node);
    if (o->what != CREATE)
        unset(names, o->name);
}

static void change_names(const struct op *o)
{
    struct op copy = *o;
    int i = find(&now, o->name);
    if (o->what == RENAME)
        copy.node = i < now.n ? now.entry[i].node : 0;
    apply(&now, &copy);
    if (n_pending == 64)
        abort();
    pending[n_pending++] = copy;
}

static void sync_node(struct node *n)
{
    free(n->safe);
    n->safe = malloc((size_t)n->n_now + 1);
    memcpy(n->safe, n->now, (size_t)n->n_now);
    n->n_safe = n->n_now;
}

static void step(const struct op *o)
{
    struct node *n = &node[o->node];
    switch (o->what) {
    case CREATE:
    case RENAME:
    case UNLINK: change_names(o); break;
    case WRITE:
        n->now = realloc(n->now, (size_t)(n->n_now + o->bytes));
        memcpy(n->now + n->n_now, o->data, (size_t)o->bytes);
        n->n_now += o->bytes;
        break;
    case CUT: n->n_now = o->bytes; break;
    case SYNC:
        if (!drop_syncs)
            sync_node(n);
        break;
    case MAKE_FOLDER: made = true; break;
    case SYNC_ABOVE: made_safe = made; break;
    case SYNC_FOLDER:
        if (drop_folder_syncs)
            break;
        safe = now;
        n_pending = 0;
        break;
    case SAVED: told = o->place > told ? o->place : told; break;
    }
}

/* What the folder "before" holds, under the names of the first nodes, is on the disk. */
static void put_before(void)
{
    for (int i = 0; i < n_before; i++) {
        char path[NAME_BYTES + 8];
        struct stat st;
        snprintf(path, sizeof path, "before/%s", name_of[i]);
        CHECK(stat(path, &st) == 0, "%s", path);
        node[i].now = scratch_read(path);
        node[i].n_now = st.st_size;
        sync_node(&node[i]);
        set(&now, name_of[i], i);
    }
    safe = now;
    made = made_safe = n_before > 0;
}

static void begin_disk(void)
{
    for (int i = 0; i < NODES_MAX; i++) {
        free(node[i].now);
        free(node[i].safe);
    }
    memset(node, 0, sizeof node);
    now = safe = (struct names){0};
    n_pending = 0;
    told = -1;
    put_before();
}

/* ---- one state, on a disk ---- */

/* What becomes of a file's data behind its last sync, in eighths: there, then zeros, and no
   more. */
struct fate {
    int there, zeros;
};
static const struct fate fates[] = {{0, 0}, {8, 0}, {1, 0}, {2, 0}, {4, 0}, {6, 0},
                                    {7, 0}, {0, 8}, {1, 7}, {4, 4}, {7, 1}, {0, 4},
                                    {2, 3}, {5, 1}, {3, 0}, {5, 0}};
enum { N_FATE = sizeof fates / sizeof *fates, DIRTY_MAX = 2 };

/* The newest files whose data may be lost; the rest are whole. */
static int n_dirty, dirty[DIRTY_MAX], fate_of[NODES_MAX];

static void find_dirty(void)
{
    n_dirty = 0;
    for (int i = n_node - 1; i >= 0; i--) {
        const struct node *n = &node[i];
        bool same = n->n_now == n->n_safe &&
                    (n->n_now == 0 || memcmp(n->now, n->safe, (size_t)n->n_now) == 0);
        fate_of[i] = 1;
        if (!same && n_dirty < DIRTY_MAX)
            dirty[n_dirty++] = i;
    }
}

/* A file's bytes; the caller frees. Data that were cut away are there or not. */
static char *bytes_of(const struct node *n, const struct fate *fate, int64_t *size)
{
    int64_t more = n->n_now - n->n_safe;
    if (more < 0) {
        *size = fate->there ? n->n_now : n->n_safe;
        more = 0;
    } else {
        *size = n->n_safe + more * (fate->there + fate->zeros) / 8;
    }
    char *out = calloc(1, (size_t)*size + 1);
    int64_t base = n->n_safe < *size ? n->n_safe : *size;
    if (base > 0)
        memcpy(out, n->safe, (size_t)base);
    if (more > 0)
        memcpy(out + base, n->now + base, (size_t)(more * fate->there / 8));
    return out;
}

/* The folder "c" as it is then; a sum of all that is in it. */
static uint64_t put_state(const struct names *names)
{
    uint64_t sum = 0;
    scratch_remove("c", 1);
    rnn__io_system.mkdir("c", 0777);
    for (int i = 0; i < names->n; i++) {
        char path[NAME_BYTES + 8];
        int64_t size;
        int at = names->entry[i].node;
        char *data = bytes_of(&node[at], &fates[fate_of[at]], &size);
        snprintf(path, sizeof path, "c/%s", names->entry[i].name);
        scratch_write(path, data, (size_t)size);
        uint64_t crc = rnn__crc32c(0, data, (size_t)size);
        crc = crc << 32 | rnn__crc32c((uint32_t)size, path, strlen(path));
        sum += trainer_random(&crc); /* in any order of the names */
        free(data);
    }
    return sum;
}

/* Whether the newest checkpoint of the state that is whole is one that may be. */
static bool newest_is_good(int64_t *place)
{
    struct rnn__options options = {.program = "trainer"};
    struct rnn__trainer t = {.options = &options};
    struct rnn__fault f = {0};
    struct rnn__safetensors s = {.fd = -1};
    int kept = command_redirect(2, "stderr");
    int code = rnn__checkpoint_newest(&t, "c", &s, &f);
    dup2(kept, 2);
    close(kept);
    *place = code == 0 ? place_of(s.path + 2) : -1;
    const char *seed = code == 0 ? rnn__safetensors_metadata(&s, "seed") : NULL;
    bool is_other = takes_over && seed && strcmp(seed, "9") != 0;
    rnn__safetensors_close(&s);
    return is_other ? told < 0 && *place == OTHER_PLACE
                    : *place >= told && (!takes_over || *place >= 0);
}

static uint64_t seen_sum[1 << 16];
static int n_state, n_run, n_wrong, run_each;
static bool is_control;

static bool is_new_state(uint64_t sum)
{
    size_t at = sum & 0xffff;
    while (seen_sum[at] && seen_sum[at] != sum)
        at = (at + 1) & 0xffff;
    bool is_new = seen_sum[at] != sum;
    seen_sum[at] = sum;
    return is_new;
}

static void check_state(const struct names *names, int k)
{
    uint64_t sum = put_state(names) | 1;
    if (!is_new_state(sum ^ (uint64_t)told << 40))
        return;
    int64_t newest;
    bool good = newest_is_good(&newest);
    n_state++;
    n_wrong += !good;
    if (is_control)
        return;
    CHECK(good, "after operation %d of %d: the newest is %lld, told of was %lld", k, n_op,
          (long long)newest, (long long)told);
    if (takes_over || n_state % run_each)
        return;
    n_run++;
    CHECK(run_settings(trainer_settings, trainer_line("c")) == 0, "operation %d: %s", k,
          errors);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same("c", "f", trainer_results[i]), "operation %d: %s differs", k,
              trainer_results[i]);
}

/* Every choice of the pending names, every fate of the unsynced data. */
static void check_states(int k)
{
    enum { MOST = 6 };
    int n = n_pending < MOST ? n_pending : MOST, first = n_pending - n;
    find_dirty();
    for (unsigned chosen = 0; chosen < 1u << n; chosen++) {
        struct names names = safe;
        for (int i = 0; i < n_pending; i++)
            if (i < first || chosen >> (i - first) & 1)
                apply(&names, &pending[i]);
        for (int f = 0; f < (n_dirty > 1 ? N_FATE * N_FATE : N_FATE); f++) {
            for (int i = 0, rest = f; i < n_dirty; i++, rest /= N_FATE)
                fate_of[dirty[i]] = rest % N_FATE;
            check_state(&names, k);
        }
    }
    if (made != made_safe) /* the folder may not be there at all */
        n_wrong += told >= 0;
    CHECK(is_control || made == made_safe || told < 0,
          "operation %d: a checkpoint is told of, and its folder may go", k);
}

static void test_the_power_may_go_after_any_operation(void)
{
    memset(seen_sum, 0, sizeof seen_sum);
    n_state = n_run = n_wrong = 0;
    begin_disk();
    for (int k = 0; k < n_op && !(is_control && n_wrong > 0); k++) {
        step(&op[k]);
        check_states(k);
    }
}

/* ---- a folder that changes hands ---- */

static void clear_ops(void)
{
    for (int i = 0; i < n_op; i++)
        free(op[i].data);
    memset(op, 0, sizeof op);
    n_op = n_node = 0;
}

/* Another run's files, as the first nodes. */
static void begin_before(void)
{
    DIR *dir = opendir("before");
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.')
            snprintf(name_of[n_before++], NAME_BYTES, "%.63s", d->d_name);
    if (dir)
        closedir(dir);
    n_node = n_before;
}

static void test_the_power_may_go_while_a_folder_changes_hands(void)
{
    clear_ops();
    is_control = false;
    rnn__io_system.rename("f", "before");
    CHECK(run_settings(trainer_settings, "--quiet --out f") == 0, "%s", errors);
    begin_before();
    takes_over = true;
    record("--quiet --out f --overwrite --seed 9 --max-iterations 1");
    test_the_power_may_go_after_any_operation();
    CHECK(n_state > 100, "%d states", n_state);
}

/* ---- controls ---- */

static void test_without_syncs_it_would_be_noticed(void)
{
    is_control = true;
    drop_syncs = true;
    test_the_power_may_go_after_any_operation();
    CHECK(n_wrong > 0, "files need no syncs");
    drop_syncs = false;
    drop_folder_syncs = true;
    test_the_power_may_go_after_any_operation();
    CHECK(n_wrong > 0, "folders need no syncs");
    drop_folder_syncs = false;
}

int main(int argc, char **argv)
{
    run_each = argc > 1 ? atoi(argv[1]) : 1;
    scratch_open_in_memory();
    command_begin();
    record("--quiet --out f");
    test_the_power_may_go_after_any_operation();
    printf("%d operations, %d states, %d gone on with\n", n_op, n_state, n_run);
    CHECK(n_state > 1000 && n_run > 100, "%d states, %d runs", n_state, n_run);
    test_without_syncs_it_would_be_noticed();
    test_the_power_may_go_while_a_folder_changes_hands();
    clear_ops();
    n_before = 0;
    begin_disk();
    return command_end();
}
