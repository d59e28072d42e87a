/* The fake vendor of the benchmarks: one thread, epoll, as little work as can be.
 *
 *     vendor PORT [--events N] [--pace-us N] [--json-bytes N]
 *
 * A POST whose first bytes of body hold "stream":true is answered with a stream of N text events
 * in Anthropic's shape, pace-us apart (0: as fast as the socket takes them), each with the moment
 * it was sent; any other with json-bytes of JSON. The request's headers x-bench-events and
 * x-bench-pace-us go before the options. Prints "listening" when it does.
 */
#include "common.h"

#include <sys/timerfd.h>

enum { HEAD_MAX = 65536, LOOKED_AT = 4096, OUT_MAX = 32768 };

enum state { READ_HEAD, READ_BODY, READ_CHUNKS, STREAM, DRAIN };

struct conn {
    int fd;
    enum state state;
    char *in;         /* the head, then the first bytes of the body */
    size_t got;       /* bytes in it */
    size_t head;      /* size of the head, 0 while its end has not come */
    uint64_t left;    /* bytes of body to come */
    int stream, close;
    int chat;         /* the OpenAI dialect is spoken */
    char tail[8];     /* the last bytes of a chunked body */
    char *out;
    size_t out_size, out_at;
    int events, pace_us;
    int next;         /* number of the next event */
    uint64_t due;
    int place;        /* in the heap, -1 outside */
    int writing;      /* epoll tells when the socket is writable */
    struct conn *idle;
};

static int events = 100, pace_us = 10000;
static size_t json_bytes = 2048;
static int poll_fd, timer_fd;
static char *json[2];
static size_t json_size[2];
static struct conn *unused;

/* -- who is due next: a binary heap by time --------------------------------------------------- */
static struct conn **heap;
static int heap_size, heap_room;

static void put(int at, struct conn *c) {
    heap[at] = c;
    c->place = at;
}

static void sift(int at) {
    struct conn *c = heap[at];
    while (at > 0 && heap[(at - 1) / 2]->due > c->due) {
        put(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= c->due) break;
        put(at, heap[child]);
        at = child;
    }
    put(at, c);
}

static void enter(struct conn *c) {
    if (heap_size == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 256;
        heap = realloc(heap, (size_t)heap_room * sizeof *heap);
    }
    put(heap_size++, c);
    sift(c->place);
}

static void leave(struct conn *c) {
    int at = c->place;
    if (at < 0) return;
    c->place = -1;
    struct conn *last = heap[--heap_size];
    if (last != c) {
        put(at, last);
        sift(at);
    }
}

static void arm(void) {
    static uint64_t armed;
    uint64_t due = heap_size ? heap[0]->due : 0;
    if (due == armed) return;
    armed = due;
    struct itimerspec when = {{0, 0}, {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* -- connections ------------------------------------------------------------------------------- */
static void watch(struct conn *c, int writing) {
    if (c->writing == writing) return;
    c->writing = writing;
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(struct conn *c) {
    leave(c);
    close(c->fd);
    c->fd = -1;
    c->idle = unused;
    unused = c;
}

static void next_request(struct conn *c) {
    if (c->close) {
        drop(c);
        return;
    }
    c->state = READ_HEAD;
    c->got = c->head = 0;
    watch(c, 0);
}

/* Send what stands in out; 1: all of it went, 0: the socket is full, -1: the client has gone. */
static int push(struct conn *c) {
    while (c->out_at < c->out_size) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_size - c->out_at, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) {
                watch(c, 1);
                return 0;
            }
            drop(c);
            return -1;
        }
        c->out_at += (size_t)n;
    }
    c->out_size = c->out_at = 0;
    return 1;
}

static void say(struct conn *c, const char *text, size_t size) {
    memcpy(c->out + c->out_size, text, size);
    c->out_size += size;
}

/* One event as a chunk of its own, as the vendors send them. */
static void say_event(struct conn *c, const char *kind, const char *data, int size) {
    char head[96];
    int name = snprintf(head, sizeof head, "event: %s\ndata: ", kind);
    char line[16];
    int chunk = snprintf(line, sizeof line, "%x\r\n", name + size + 2);
    say(c, line, (size_t)chunk);
    say(c, head, (size_t)name);
    say(c, data, (size_t)size);
    say(c, "\n\n\r\n", 4);
}

#define USAGE "\"input_tokens\":2048,\"cache_creation_input_tokens\":512,\"cache_read_input_tokens\":40960"

static void open_stream(struct conn *c) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
        "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
        "request-id: req_011CVbenchbenchbenchbench\r\n"
        "anthropic-organization-id: 00000000-0000-0000-0000-000000000000\r\n"
        "Transfer-Encoding: chunked\r\n\r\n";
    static const char start[] =
        "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_bench\",\"type\":\"message\","
        "\"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[],\"stop_reason\":null,"
        "\"stop_sequence\":null,\"usage\":{" USAGE ",\"output_tokens\":1,"
        "\"service_tier\":\"standard\"}}}";
    static const char block[] =
        "{\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}";
    say(c, head, sizeof head - 1);
    say_event(c, "message_start", start, sizeof start - 1);
    say_event(c, "content_block_start", block, sizeof block - 1);
}

static void say_delta(struct conn *c) {
    char data[256];
    int size = snprintf(data, sizeof data,
                        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                        "{\"type\":\"text_delta\",\"text\":\"%c%018llu word by word\"}}",
                        MARK, (unsigned long long)now_ns());
    say_event(c, "content_block_delta", data, size);
}

static void close_stream(struct conn *c) {
    static const char stop[] = "{\"type\":\"content_block_stop\",\"index\":0}";
    static const char last[] = "{\"type\":\"message_stop\"}";
    char data[256];
    int size = snprintf(data, sizeof data,
                        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                        "\"stop_sequence\":null},\"usage\":{" USAGE ",\"output_tokens\":%d}}",
                        c->events);
    say_event(c, "content_block_stop", stop, sizeof stop - 1);
    say_event(c, "message_delta", data, size);
    say_event(c, "message_stop", last, sizeof last - 1);
    say(c, "0\r\n\r\n", 5);
}

/* When a stream's second event is due: every stream has a place of its own between two beats, the
 * places spread evenly, so that neither a subject's speed nor chance bunches the streams. */
static uint64_t own_beat(struct conn *c) {
    static uint32_t streams;
    uint64_t pace = (uint64_t)c->pace_us * 1000u;
    uint64_t place = (uint64_t)((double)(streams++ * 2654435769u) / 4294967296.0 * (double)pace);
    uint64_t now = now_ns();
    return now - now % pace + pace + place;
}

/* Go on with a stream: the one event that is due, or all that the socket takes. */
static void stream(struct conn *c) {
    for (;;) {
        int pushed = push(c);
        if (pushed < 0) return;
        if (pushed == 0) {
            leave(c);
            return;
        }
        if (c->next > c->events) {
            leave(c);
            next_request(c);
            return;
        }
        if (c->pace_us && c->due > now_ns()) {
            if (c->place < 0) enter(c);
            else sift(c->place);
            watch(c, 0);
            return;
        }
        do {
            if (c->next < c->events) say_delta(c);
            else close_stream(c);
            if (c->next == 0 && c->pace_us) c->due = own_beat(c);
            else c->due += (uint64_t)c->pace_us * 1000u;
            c->next++;
        } while (c->next <= c->events && !c->pace_us && c->out_size < OUT_MAX - 2048);
    }
}

static void answer(struct conn *c) {
    c->out_size = c->out_at = 0;
    if (c->stream) {
        c->state = STREAM;
        c->next = 0;
        /* The first event leaves at once; the streams then keep their own beat. */
        c->due = now_ns();
        open_stream(c);
        stream(c);
        return;
    }
    c->state = DRAIN;
    say(c, json[c->chat], json_size[c->chat]);
    if (push(c) > 0) next_request(c);
}

static void judge(struct conn *c, const char *body, size_t size) {
    if (size > LOOKED_AT) size = LOOKED_AT;
    c->stream = memmem(body, size, "\"stream\":true", 13) != NULL ||
                memmem(body, size, "\"stream\": true", 14) != NULL;
}

static void read_head(struct conn *c, size_t before) {
    if (!c->head) {
        size_t from = before > 3 ? before - 3 : 0;
        char *end = memmem(c->in + from, c->got - from, "\r\n\r\n", 4);
        if (end) c->head = (size_t)(end + 4 - c->in);
    }
    if (!c->head) {
        if (c->got == HEAD_MAX) drop(c);
        return;
    }
    size_t size = c->head, rest = c->got - size;
    const char *length = header(c->in, size, "content-length");
    const char *coding = header(c->in, size, "transfer-encoding");
    const char *connection = header(c->in, size, "connection");
    c->close = connection && strncasecmp(connection, "close", 5) == 0;
    const char *asked_events = header(c->in, size, "x-bench-events");
    const char *asked_pace = header(c->in, size, "x-bench-pace-us");
    c->events = asked_events ? atoi(asked_events) : events;
    c->pace_us = asked_pace ? atoi(asked_pace) : pace_us;
    c->chat = memmem(c->in, size, "chat/completions", 16) != NULL;
    c->stream = 0;
    if (coding) {
        judge(c, c->in + size, rest);
        c->state = READ_CHUNKS;
        memset(c->tail, 0, sizeof c->tail);
        size_t kept = rest < 5 ? rest : 5;
        memcpy(c->tail + 5 - kept, c->in + c->got - kept, kept);
        if (memcmp(c->tail, "0\r\n\r\n", 5) == 0) answer(c);
        return;
    }
    uint64_t total = length ? strtoull(length, NULL, 10) : 0;
    /* The body's first bytes decide; wait for them. */
    size_t needed = total < LOOKED_AT ? (size_t)total : LOOKED_AT;
    if (rest < needed) return;
    judge(c, c->in + size, rest);
    c->left = total - rest;
    c->state = READ_BODY;
    if (c->left == 0) answer(c);
}

static void readable(struct conn *c) {
    static char thrown[262144];
    if (c->state == READ_HEAD) {
        ssize_t n = recv(c->fd, c->in + c->got, HEAD_MAX - c->got, 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) drop(c);
            return;
        }
        size_t before = c->got;
        c->got += (size_t)n;
        read_head(c, before);
        return;
    }
    ssize_t n = recv(c->fd, thrown, sizeof thrown, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) drop(c);
        return;
    }
    if (c->state == READ_BODY) {
        c->left -= (uint64_t)n;
        if (c->left == 0) answer(c);
    } else if (c->state == READ_CHUNKS) {
        if (!c->stream) judge(c, thrown, (size_t)n);
        size_t kept = n < 5 ? (size_t)n : 5;
        memmove(c->tail, c->tail + kept, 5 - kept);
        memcpy(c->tail + 5 - kept, thrown + n - kept, kept);
        if (memcmp(c->tail, "0\r\n\r\n", 5) == 0) answer(c);
    }
}

static void prepare_json(void) {
    static const char *const shape[2][2] = {
        {"{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\","
         "\"model\":\"claude-opus-5-5\",\"content\":[{\"type\":\"text\",\"text\":\"",
         "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{" USAGE
         ",\"output_tokens\":333,\"service_tier\":\"standard\"}}"},
        {"{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1764000000,"
         "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
         "\"content\":\"",
         "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":2048,"
         "\"completion_tokens\":333,\"total_tokens\":2381}}"}};
    for (int i = 0; i < 2; i++) {
        size_t fixed = strlen(shape[i][0]) + strlen(shape[i][1]);
        size_t fill = json_bytes > fixed ? json_bytes - fixed : 1;
        char *text = malloc(fixed + fill + 512);
        int head = sprintf(text,
                           "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
                           "Content-Type: application/json\r\n"
                           "request-id: req_011CVbenchbenchbenchbench\r\n"
                           "Content-Length: %zu\r\n\r\n%s",
                           fixed + fill, shape[i][0]);
        memset(text + head, 'x', fill);
        strcpy(text + head + fill, shape[i][1]);
        json[i] = text;
        json_size[i] = (size_t)head + fill + strlen(shape[i][1]);
        if (json_size[i] > OUT_MAX) die("--json-bytes is too large");
    }
}

static void welcome(int listener) {
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        set_up_socket(fd);
        struct conn *c = unused;
        if (c) {
            unused = c->idle;
        } else {
            c = calloc(1, sizeof *c);
            c->in = malloc(HEAD_MAX);
            c->out = malloc(OUT_MAX);
        }
        c->fd = fd;
        c->state = READ_HEAD;
        c->got = c->head = c->out_size = c->out_at = 0;
        c->place = -1;
        c->writing = 0;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static void tick(void) {
    uint64_t fired;
    if (read(timer_fd, &fired, sizeof fired) < 0 && errno != EAGAIN) die("timer");
    uint64_t now = now_ns();
    while (heap_size && heap[0]->due <= now) {
        struct conn *c = heap[0];
        leave(c);
        stream(c);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) die("usage: vendor PORT [--events N] [--pace-us N] [--json-bytes N]");
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--events")) events = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--pace-us")) pace_us = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--json-bytes")) json_bytes = (size_t)atol(argv[i + 1]);
        else die("unknown option %s", argv[i]);
    }
    prepare_json();
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = loopback(atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&at, sizeof at)) die("bind: %s", strerror(errno));
    listen(listener, 4096);
    set_up_socket(listener);
    poll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    e.data.ptr = &timer_fd;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &e);
    puts("listening");
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[256];
        int n = epoll_wait(poll_fd, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            void *who = ready[i].data.ptr;
            if (who == &listener) {
                welcome(listener);
            } else if (who == &timer_fd) {
                tick();
            } else {
                struct conn *c = who;
                if (c->fd >= 0 && ready[i].events & EPOLLOUT) {
                    if (c->state == STREAM) stream(c);
                    else if (push(c) > 0) next_request(c);
                }
                if (c->fd >= 0 && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
            }
        }
        arm();
    }
}
