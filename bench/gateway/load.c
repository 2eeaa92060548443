/* A load generator: HTTP/1.1 with keep-alive, one thread, one core; every answer is read to its end and checked.
 *
 *     load PORT CORE CONNECTIONS WARM SECONDS RATE EVENTS REQUESTS
 *
 * REQUESTS is a file of whole HTTP requests, each ended by a NUL; they are sent round and round. RATE 0 is a closed
 * loop: each connection sends its next request when it has its answer. Otherwise requests come at random (Poisson) at
 * RATE a second, whether or not a connection is free, and the time of an answer counts from when its request was due.
 * SECONDS 0 sends one request a connection, and measures until all are answered. EVENTS is how many events ("data: "
 * lines) a stream has to have; 0 is any number.
 *
 * It prints "start" when the warm-up is over, and after SECONDS one line of JSON about what arrived in between; then
 * the answers under way are awaited and {"failed": …} tells of all. An answer fails that is not 200, not whole, not
 * JSON, or a stream without [DONE]. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop.h"

#define TAIL 2048
#define GRACE 20.0 /* seconds for answers under way at the end */

enum { HEADERS, LENGTH, SIZE, DATA, DATA_END, TRAILER };

typedef struct {
    int fd, busy, state, status, closing, stream, tries;
    int matched; /* of "data: " at the beginning of this line; -1: another line */
    long left, events;
    double since;
    size_t head_size, line_size, tail_size;
    char head[8192], line[64], tail[2 * TAIL];
} Connection;

static struct sockaddr_in address;
static Connection *connections, **idle;
static char **requests, reason[256];
static size_t *sizes, request_count, next_request;
static int poller, alarm_clock, connection_count, idle_count, in_flight;
static double rate, began, measured_from, measured_until, next_due;
static long expected, calls, failed, events, tokens;
static double *times;
static size_t time_count, time_room;

static void begin(Connection *c, double since);

static void connect_again(Connection *c) {
    int yes = 1;
    if (c->fd >= 0) close(c->fd);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static int measuring(double now) { return now >= measured_from && now < measured_until; }

static void note_time(double milliseconds) {
    if (time_count == time_room) {
        time_room = time_room ? 2 * time_room : 65536;
        if ((times = realloc(times, time_room * sizeof *times)) == NULL) fail("realloc");
    }
    times[time_count++] = milliseconds;
}

static const char *fault(Connection *c) {
    c->tail[c->tail_size] = 0;
    if (c->status != 200) return "not 200";
    if (!c->stream) return c->tail_size && c->tail[c->tail_size - 1] == '}' ? NULL : "not JSON";
    if (strstr(c->tail, "data: [DONE]") == NULL) return "no [DONE]";
    return expected && c->events != expected ? "wrong number of events" : NULL;
}

/* The answer is over: note it, and go on as the mode of the load asks. */
static void finish(Connection *c, const char *broken) {
    double now = seconds_now();
    const char *why = broken ? broken : fault(c);
    if (why != NULL && failed++ == 0)
        snprintf(reason, sizeof reason, "%s: status %d, %ld events", why, c->status, c->events);
    if (why == NULL && measuring(now)) {
        calls++;
        tokens += number_in(c->tail, "\"completion_tokens\":", 0);
        note_time((now - c->since) * 1e3);
    }
    c->busy = 0;
    in_flight--;
    if (broken || c->closing) connect_again(c);
    if (now >= measured_until || measured_until > 1e17) return;
    if (rate > 0) idle[idle_count++] = c;
    else begin(c, now);
}

/* A request that meets a connection just closed by the other side is sent once more, as any client does. */
static void broken(Connection *c, const char *why) {
    if (c->head_size == 0 && c->tries++ == 0) {
        in_flight--;
        connect_again(c);
        begin(c, c->since);
    } else {
        finish(c, why);
    }
}

static void begin(Connection *c, double since) {
    size_t at = next_request++ % request_count;
    int tries = c->busy ? c->tries : 0;
    c->busy = 1, c->state = HEADERS, c->status = c->closing = c->stream = c->matched = 0, c->tries = tries;
    c->left = c->events = 0, c->since = since, c->head_size = c->line_size = c->tail_size = 0;
    in_flight++;
    if (send(c->fd, requests[at], sizes[at], MSG_NOSIGNAL) != (ssize_t)sizes[at]) broken(c, "not sent");
}

static void take_body(Connection *c, const char *data, size_t size) {
    size_t kept = size < TAIL ? size : TAIL;
    if (c->tail_size + kept >= 2 * TAIL) {
        memmove(c->tail, c->tail + c->tail_size - (TAIL - 1), TAIL - 1);
        c->tail_size = TAIL - 1;
    }
    memcpy(c->tail + c->tail_size, data + size - kept, kept);
    c->tail_size += kept;
    if (!c->stream) return;
    long found = 0;
    for (const char *at = data, *end = data + size; at < end;) {
        if (c->matched >= 0 && c->matched < 6 && *at == "data: "[c->matched]) {
            if (++c->matched == 6) found++;
            at++;
        } else if ((at = memchr(at, '\n', (size_t)(end - at))) == NULL) {
            c->matched = -1;
            break;
        } else {
            c->matched = 0;
            at++;
        }
    }
    c->events += found;
    if (measuring(seconds_now())) events += found;
}

static void take_head(Connection *c) {
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->status = atoi(c->head + 9);
    c->closing = strcasestr(c->head, "\r\nconnection: close") != NULL;
    c->stream = strcasestr(c->head, "text/event-stream") != NULL;
    c->state = strcasestr(c->head, "\r\ntransfer-encoding: chunked") ? SIZE : LENGTH;
    c->left = length ? atol(length + 17) : 0;
}

/* Read on in the answer; return 1 once it is over. */
static int take(Connection *c, const char *data, size_t size) {
    while (size > 0) {
        size_t part = (size_t)c->left < size ? (size_t)c->left : size;
        if (c->state == HEADERS) {
            if (c->head_size == sizeof c->head - 1) return c->status = -1, 1;
            c->head[c->head_size++] = *data++, size--;
            if (c->head_size < 4 || memcmp(c->head + c->head_size - 4, "\r\n\r\n", 4) != 0) continue;
            c->head[c->head_size] = 0;
            take_head(c);
            if (c->state == LENGTH && c->left == 0) return 1;
        } else if (c->state == LENGTH || c->state == DATA) {
            take_body(c, data, part);
            data += part, size -= part;
            if ((c->left -= (long)part) > 0) continue;
            if (c->state == LENGTH) return 1;
            c->state = DATA_END;
        } else {
            char letter = *data++;
            size--;
            if (letter != '\n' && c->line_size < sizeof c->line - 1) c->line[c->line_size++] = letter;
            if (letter != '\n') continue;
            c->line[c->line_size] = 0;
            if (c->state == TRAILER && c->line_size <= 1) return 1;
            if (c->state == SIZE) {
                c->left = strtol(c->line, NULL, 16);
                c->state = c->left ? DATA : TRAILER;
            } else if (c->state == DATA_END) {
                c->state = SIZE;
            }
            c->line_size = 0;
        }
    }
    return 0;
}

static void hear(Connection *c) {
    static char data[262144];
    ssize_t got = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0 && c->busy && take(c, data, (size_t)got)) finish(c, NULL);
    else if (got <= 0 && c->busy) broken(c, "broken off");
    else if (got <= 0) connect_again(c);
}

static void set_alarm(double when) {
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)when, .tv_nsec = (long)((when - floor(when)) * 1e9)}};
    timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &at, NULL);
}

static void send_due(void) {
    double now = seconds_now();
    while (idle_count > 0 && next_due <= now && now < measured_until) {
        begin(idle[--idle_count], next_due);
        next_due -= log(1.0 - drand48()) / rate;
    }
    if (idle_count > 0) set_alarm(next_due);
}

static int by_size(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static double percentile(double share) { return time_count ? times[(size_t)(share * (double)(time_count - 1))] : 0; }

static void tell(double seconds) {
    qsort(times, time_count, sizeof *times, by_size);
    printf("{\"seconds\": %.6f, \"calls\": %ld, \"events\": %ld, \"tokens\": %ld, \"p50\": %.4f, \"p99\": %.4f}\n", seconds,
           calls, events, tokens, percentile(0.5), percentile(0.99));
    fflush(stdout);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    if (file == NULL) fail(path);
    while ((size = getdelim(&line, &room, 0, file)) > 1) {
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        sizes = realloc(sizes, (request_count + 1) * sizeof *sizes);
        sizes[request_count] = (size_t)size - 1;
        requests[request_count++] = line;
        line = NULL;
    }
    fclose(file);
    if (request_count == 0) fail("no requests");
}

int main(int argc, char **argv) {
    if (argc != 9) return fprintf(stderr, "usage: see the first lines of load.c\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    stay_on(atoi(argv[2]));
    address.sin_family = AF_INET, address.sin_port = htons((unsigned short)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection_count = atoi(argv[3]);
    double warm = atof(argv[4]), seconds = atof(argv[5]);
    rate = atof(argv[6]), expected = atol(argv[7]);
    read_requests(argv[8]);
    connections = calloc((size_t)connection_count, sizeof *connections);
    idle = calloc((size_t)connection_count, sizeof *idle);
    poller = epoll_create1(0), alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, found[512];
    epoll_ctl(poller, EPOLL_CTL_ADD, alarm_clock, &event);
    began = next_due = seconds_now();
    measured_from = began + warm;
    measured_until = seconds > 0 ? measured_from + seconds : 1e18;
    for (int i = 0; i < connection_count; i++) {
        connections[i].fd = -1;
        connect_again(&connections[i]);
        if (rate > 0) idle[idle_count++] = &connections[i];
        else begin(&connections[i], seconds_now());
    }
    int started = 0, told = 0;
    for (;;) {
        double now = seconds_now(), until = started ? measured_until : measured_from;
        if (!started && now >= measured_from) started = 1, puts("start"), fflush(stdout);
        if (!told && (now >= measured_until || in_flight + idle_count == 0)) told = 1, tell(now - measured_from);
        if (told && (in_flight == 0 || now > measured_until + GRACE)) break;
        if (rate > 0) send_due();
        double wait = told ? 0.1 : until - now;
        int ready = epoll_wait(poller, found, 512, wait > 0.1 ? 100 : wait > 0 ? (int)(wait * 1000) + 1 : 0);
        for (int i = 0; i < ready; i++) {
            unsigned long rings;
            if (found[i].data.ptr != NULL) hear(found[i].data.ptr);
            else if (read(alarm_clock, &rings, sizeof rings) < 0 && errno != EAGAIN) fail("timer");
        }
    }
    if (in_flight > 0 && failed == 0) snprintf(reason, sizeof reason, "%d answers never ended", in_flight);
    printf("{\"failed\": %ld, \"reason\": \"%s\"}\n", failed + in_flight, reason);
    return 0;
}
