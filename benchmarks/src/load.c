/* The client of the benchmarks: many connections, each asks the same thing some times in a row.
 *
 *     load PORT --body FILE [--path P] [--connections N] [--repeat N] [--stagger-us N]
 *               [--header "Name: value"]... [--patience S]
 *
 * Prints one JSON object: answers that came whole, events, and as percentiles in microseconds the
 * time to the first piece of body, to the end, and of each event from its sending to its arrival.
 */
#include "common.h"

#include <sys/stat.h>
#include <sys/timerfd.h>

enum { HEADERS_MAX = 16384, IN_MAX = 262144 };

enum state { IDLE, CONNECT, SEND, HEAD, LENGTH, CHUNK_LINE, CHUNK, CHUNK_END, TRAILER, TO_CLOSE };

struct conn {
    int fd, number, asked, reused, writing;
    enum state state;
    size_t sent, head_size;
    uint64_t left;
    char head[HEADERS_MAX];
    char line[24];
    int line_size;
    int digits;          /* digits of a moment seen so far, -1 outside */
    uint64_t moment;
    uint64_t began;
    int first;           /* nothing of the body has come yet */
    uint64_t due;
};

struct samples {
    uint32_t *at;
    size_t size, room;
};

static int port, poll_fd, repeat = 1, connections = 1;
static char *request;
static size_t request_size;
static char *body;
static size_t body_size;
static struct samples first, whole, delay;
static uint64_t complete, failed, events, received;
static int running;
static const char *complaint = "";

static void keep(struct samples *s, uint64_t ns) {
    if (s->size == s->room) {
        s->room = s->room ? 2 * s->room : 65536;
        s->at = realloc(s->at, s->room * sizeof *s->at);
    }
    uint64_t tenths = ns / 100;
    s->at[s->size++] = tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print(const char *name, struct samples *s) {
    printf(",\"%s_us\":", name);
    if (!s->size) {
        printf("null");
        return;
    }
    qsort(s->at, s->size, sizeof *s->at, by_size);
    static const double share[] = {0.5, 0.9, 0.99, 0.999};
    static const char *const label[] = {"p50", "p90", "p99", "p999"};
    double sum = 0;
    for (size_t i = 0; i < s->size; i++) sum += s->at[i];
    printf("{\"mean\":%.1f", sum / (double)s->size / 10);
    for (int i = 0; i < 4; i++) {
        size_t at = (size_t)(share[i] * (double)(s->size - 1));
        printf(",\"%s\":%.1f", label[i], s->at[at] / 10.0);
    }
    printf(",\"max\":%.1f}", s->at[s->size - 1] / 10.0);
}

static void watch(struct conn *c, int writing) {
    if (c->writing == writing) return;
    c->writing = writing;
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void ask(struct conn *c);

static void hang_up(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void done(struct conn *c, int good) {
    if (good) {
        complete++;
        keep(&whole, now_ns() - c->began);
    } else {
        failed++;
        hang_up(c);
    }
    if (c->asked < repeat) {
        ask(c);
    } else {
        c->state = IDLE;
        hang_up(c);
        running--;
    }
}

static void fail(struct conn *c, const char *why) {
    complaint = why;
    done(c, 0);
}

static void push(struct conn *c) {
    while (c->sent < request_size + body_size) {
        int in_body = c->sent >= request_size;
        const char *from = in_body ? body + (c->sent - request_size) : request + c->sent;
        size_t size = in_body ? request_size + body_size - c->sent : request_size - c->sent;
        int flags = MSG_NOSIGNAL | (in_body || !body_size ? 0 : MSG_MORE);
        ssize_t n = send(c->fd, from, size, flags);
        if (n < 0) {
            if (errno == EAGAIN) {
                watch(c, 1);
                return;
            }
            fail(c, strerror(errno));
            return;
        }
        c->sent += (size_t)n;
    }
    watch(c, 0);
    c->state = HEAD;
}

static void ask(struct conn *c) {
    c->asked++;
    c->sent = c->head_size = 0;
    c->digits = -1;
    c->first = 1;
    c->began = now_ns();
    if (c->fd >= 0) {
        c->reused = 1;
        c->state = SEND;
        push(c);
        return;
    }
    c->reused = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket: %s (raise the limit of open files)", strerror(errno));
    set_up_socket(c->fd);
    struct sockaddr_in at = loopback(port);
    c->state = CONNECT;
    c->writing = 1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at) && errno != EINPROGRESS)
        fail(c, strerror(errno));
}

/* Body bytes, framing removed: look for the moments at which events were sent. */
static void look(struct conn *c, const char *data, size_t size) {
    uint64_t now = now_ns();
    if (c->first && size) {
        c->first = 0;
        keep(&first, now - c->began);
    }
    const char *end = data + size;
    while (data < end) {
        if (c->digits < 0) {
            data = memchr(data, MARK, (size_t)(end - data));
            if (!data) return;
            data++;
            c->digits = 0;
            c->moment = 0;
            continue;
        }
        c->moment = c->moment * 10 + (uint64_t)(*data++ - '0');
        if (++c->digits == DIGITS) {
            c->digits = -1;
            events++;
            keep(&delay, now > c->moment ? now - c->moment : 0);
        }
    }
}

static int head(struct conn *c) {
    if (strncmp(c->head, "HTTP/1.1 200", 12)) {
        static char text[64];
        snprintf(text, sizeof text, "%.40s", c->head);
        text[strcspn(text, "\r\n")] = 0;
        fail(c, text);
        return 0;
    }
    const char *length = header(c->head, c->head_size, "content-length");
    const char *coding = header(c->head, c->head_size, "transfer-encoding");
    if (coding) {
        c->state = CHUNK_LINE;
        c->line_size = 0;
    } else if (length) {
        c->left = strtoull(length, NULL, 10);
        c->state = LENGTH;
    } else {
        c->state = TO_CLOSE;
    }
    return 1;
}

/* The end of an answer on a connection that may be kept. */
static void whole_answer(struct conn *c) {
    const char *connection = header(c->head, c->head_size, "connection");
    if (connection && strncasecmp(connection, "close", 5) == 0) hang_up(c);
    done(c, 1);
}

static void feed(struct conn *c, char *data, size_t size) {
    char *end = data + size;
    while (data < end) {
        size_t here = (size_t)(end - data);
        switch (c->state) {
        case HEAD: {
            if (c->head_size + here >= HEADERS_MAX) here = HEADERS_MAX - 1 - c->head_size;
            if (!here) {
                fail(c, "head too large");
                return;
            }
            memcpy(c->head + c->head_size, data, here);
            size_t before = c->head_size;
            c->head_size += here;
            c->head[c->head_size] = 0;
            size_t from = before > 3 ? before - 3 : 0;
            char *blank = memmem(c->head + from, c->head_size - from, "\r\n\r\n", 4);
            if (!blank) {
                data += here;
                break;
            }
            size_t all = (size_t)(blank + 4 - c->head);
            data += all - before;
            c->head_size = all;
            if (!head(c)) return;
            if (c->state == LENGTH && c->left == 0) {
                whole_answer(c);
                return;
            }
            break;
        }
        case LENGTH:
            if (here > c->left) here = (size_t)c->left;
            look(c, data, here);
            data += here;
            c->left -= here;
            if (c->left == 0) {
                whole_answer(c);
                return;
            }
            break;
        case CHUNK_LINE: {
            char byte = *data++;
            if (byte != '\n') {
                if (c->line_size < (int)sizeof c->line - 1) c->line[c->line_size++] = byte;
                break;
            }
            c->line[c->line_size] = 0;
            c->line_size = 0;
            c->left = strtoull(c->line, NULL, 16);
            c->state = c->left ? CHUNK : TRAILER;
            break;
        }
        case CHUNK:
            if (here > c->left) here = (size_t)c->left;
            look(c, data, here);
            data += here;
            c->left -= here;
            if (c->left == 0) {
                c->state = CHUNK_END;
                c->left = 2;
            }
            break;
        case CHUNK_END:
            data++;
            if (--c->left == 0) c->state = CHUNK_LINE;
            break;
        case TRAILER:
            if (*data++ == '\n') {
                whole_answer(c);
                return;
            }
            break;
        case TO_CLOSE:
            look(c, data, here);
            data += here;
            break;
        default:
            fail(c, "bytes that nobody asked for");
            return;
        }
    }
}

static void readable(struct conn *c) {
    static char in[IN_MAX];
    ssize_t n = recv(c->fd, in, sizeof in, 0);
    if (n < 0) {
        if (errno != EAGAIN) fail(c, strerror(errno));
        return;
    }
    if (n == 0) {
        hang_up(c);
        if (c->state == TO_CLOSE) {
            done(c, 1);
        } else if (c->state == HEAD && c->reused && !c->head_size) {
            /* A kept connection that was closed meanwhile: ask again on a new one. */
            c->asked--;
            ask(c);
        } else {
            fail(c, "the answer was cut");
        }
        return;
    }
    feed(c, in, (size_t)n);
}

static void read_body(const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about)) die("%s: %s", path, strerror(errno));
    body = malloc((size_t)about.st_size + 1);
    while (body_size < (size_t)about.st_size) {
        ssize_t n = read(fd, body + body_size, (size_t)about.st_size - body_size);
        if (n <= 0) die("%s: %s", path, strerror(errno));
        body_size += (size_t)n;
    }
    close(fd);
}

int main(int argc, char **argv) {
    const char *path = "/v1/messages", *headers[64];
    int header_count = 0, stagger_us = 0, patience = 120;
    if (argc < 2) die("usage: load PORT --body FILE [options]");
    port = atoi(argv[1]);
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--body")) read_body(value);
        else if (!strcmp(argv[i], "--path")) path = value;
        else if (!strcmp(argv[i], "--connections")) connections = atoi(value);
        else if (!strcmp(argv[i], "--repeat")) repeat = atoi(value);
        else if (!strcmp(argv[i], "--stagger-us")) stagger_us = atoi(value);
        else if (!strcmp(argv[i], "--patience")) patience = atoi(value);
        else if (!strcmp(argv[i], "--header") && header_count < 64) headers[header_count++] = value;
        else die("unknown option %s", argv[i]);
    }
    request = malloc(HEADERS_MAX);
    request_size = (size_t)snprintf(request, HEADERS_MAX,
                                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                    "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                                    path, port, body_size);
    for (int i = 0; i < header_count; i++)
        request_size += (size_t)snprintf(request + request_size, HEADERS_MAX - request_size,
                                         "%s\r\n", headers[i]);
    request_size += (size_t)snprintf(request + request_size, HEADERS_MAX - request_size, "\r\n");

    poll_fd = epoll_create1(0);
    struct conn *all = calloc((size_t)connections, sizeof *all);
    uint64_t began = now_ns(), ends = began + (uint64_t)patience * 1000000000u;
    for (int i = 0; i < connections; i++) {
        all[i].fd = -1;
        all[i].number = i;
        all[i].due = began + (uint64_t)i * (uint64_t)stagger_us * 1000u;
    }
    running = connections;
    /* One tick of the timer for each connection that starts: epoll's own clock is too coarse. */
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), started = 0;
    struct epoll_event tick = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &tick);
    while (running > 0) {
        uint64_t now = now_ns();
        if (now > ends) {
            complaint = "out of patience";
            failed += (uint64_t)running;
            break;
        }
        while (started < connections && all[started].due <= now) ask(&all[started++]);
        if (started < connections) {
            uint64_t due = all[started].due;
            struct itimerspec when = {{0, 0},
                                      {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        }
        struct epoll_event ready[256];
        int n = epoll_wait(poll_fd, ready, 256, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            if (!c) {
                uint64_t fired;
                if (read(timer, &fired, sizeof fired) < 0 && errno != EAGAIN) die("timer");
                continue;
            }
            if (c->fd < 0) continue;
            if (ready[i].events & EPOLLOUT && (c->state == CONNECT || c->state == SEND)) {
                c->state = SEND;
                push(c);
            }
            if (c->fd >= 0 && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                received++;
                readable(c);
            }
        }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    printf("{\"complete\":%llu,\"failed\":%llu,\"events\":%llu,\"reads\":%llu,\"seconds\":%.4f",
           (unsigned long long)complete, (unsigned long long)failed, (unsigned long long)events,
           (unsigned long long)received, seconds);
    print("first", &first);
    print("whole", &whole);
    print("delay", &delay);
    printf(",\"complaint\":\"%s\"}\n", complaint);
    return 0;
}
