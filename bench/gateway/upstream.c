/* A provider that costs next to nothing: HTTP/1.1 with keep-alive, one thread, one core.
 *
 *     upstream PORT CORE
 *
 * It answers every POST as an OpenAI chat completion. With "stream":true it sends "max_tokens" events, a finish event,
 * a usage event and [DONE], each in an HTTP chunk of its own. "seed" is the pace of a stream in events a second, one
 * write each; 0 is a burst: as fast as the socket takes them, 16 events a write. It prints "ready" when it listens. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

#define MOST 4096       /* connections */
#define REQUEST 65536   /* bytes of a request, at most */
#define PENDING 16384   /* bytes that a socket may be behind */
#define BURST 16        /* events a write */

#define HEAD "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
#define TOKEN "data: " HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}]}\n\n"
#define FINISH "data: " HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%ld,\"total_tokens\":%ld}}"

typedef struct {
    int fd, streaming, watching; /* watching: for the socket to take more */
    long left, length, pace;
    double due;
    size_t read, pending;
    char request[REQUEST + 1], out[PENDING];
} Connection;

static Connection *open_connections[MOST];
static int poller, count, paced;

static void watch(Connection *c, int writing) {
    if (c->watching == writing) return;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    c->watching = writing;
}

static void leave(Connection *c) {
    if (c->streaming && c->pace) paced--;
    for (int i = 0; i < count; i++)
        if (open_connections[i] == c) open_connections[i] = open_connections[--count];
    close(c->fd);
    free(c);
}

/* Send what is there; what the socket does not take waits. Return 0 if the connection is gone. */
static int send_out(Connection *c, const char *data, size_t size) {
    if (c->pending == 0) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return 0;
        if (sent > 0) data += sent, size -= (size_t)sent;
    }
    if (size > PENDING - c->pending) return 0;
    memcpy(c->out + c->pending, data, size);
    c->pending += size;
    return 1;
}

static size_t put_chunk(char *to, const char *event, size_t size) {
    size_t head = (size_t)sprintf(to, "%zx\r\n", size);
    memcpy(to + head, event, size);
    memcpy(to + head + size, "\r\n", 2);
    return head + size + 2;
}

/* Send the next events of a stream, and its end after the last. Return 0 if the connection is gone. */
static int stream_on(Connection *c, long events) {
    char out[PENDING], usage[1024];
    size_t size = 0;
    for (; events > 0 && c->left > 0; events--, c->left--) size += put_chunk(out + size, TOKEN, sizeof TOKEN - 1);
    if (c->left == 0) {
        size += put_chunk(out + size, FINISH, sizeof FINISH - 1);
        int length = sprintf(usage, "data: " HEAD "\"choices\":[]," USAGE "\n\n", c->length, c->length + 12);
        size += put_chunk(out + size, usage, (size_t)length);
        size += put_chunk(out + size, "data: [DONE]\n\n", 14);
        memcpy(out + size, "0\r\n\r\n", 5), size += 5;
        c->streaming = 0;
        if (c->pace) paced--;
    }
    return send_out(c, out, size);
}

static int answer(Connection *c, const char *body) {
    c->length = c->left = number_in(body, "\"max_tokens\":", 8);
    if (strstr(body, "\"stream\":true") == NULL && strstr(body, "\"stream\": true") == NULL) {
        char out[1024], json[800];
        int length = sprintf(json,
                             "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                             "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                             "\"content\":\"The answer is here.\"},\"finish_reason\":\"stop\"}]," USAGE,
                             5L, 17L);
        int size = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                           length, json);
        return send_out(c, out, (size_t)size);
    }
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    static unsigned number;
    c->streaming = 1;
    c->pace = number_in(body, "\"seed\":", 0);
    if (!send_out(c, head, sizeof head - 1)) return 0;
    if (c->pace == 0) return watch(c, 1), 1;
    paced++;
    /* Streams that begin together do not send together. */
    c->due = seconds_now() + (double)(number++ * 7919 % 1000) / 1000 / (double)c->pace;
    return 1;
}

/* Read; answer a request once it is whole. Return 0 if the connection is gone. */
static int hear(Connection *c) {
    ssize_t got = recv(c->fd, c->request + c->read, REQUEST - c->read, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    c->read += (size_t)got;
    c->request[c->read] = 0;
    char *end = strstr(c->request, "\r\n\r\n");
    if (end == NULL) return c->read < REQUEST;
    char *length = strcasestr(c->request, "\r\ncontent-length:");
    size_t whole = (size_t)(end + 4 - c->request) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
    if (c->read < whole) return whole <= REQUEST;
    if (c->streaming || c->read > whole) return 0; /* no pipelining here */
    c->read = 0;
    return answer(c, end + 4);
}

static int serve(Connection *c, unsigned events) {
    if (events & (EPOLLERR | EPOLLHUP)) return 0;
    if ((events & EPOLLIN) && !hear(c)) return 0;
    if (events & EPOLLOUT) {
        size_t size = c->pending;
        c->pending = 0;
        if (size > 0) {
            ssize_t sent = send(c->fd, c->out, size, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) return 0;
            c->pending = size - (size_t)(sent > 0 ? sent : 0);
            memmove(c->out, c->out + (size - c->pending), c->pending);
        }
        if (c->pending == 0 && c->streaming && c->pace == 0 && !stream_on(c, BURST)) return 0;
    }
    watch(c, c->pending > 0 || (c->streaming && c->pace == 0));
    return 1;
}

static void pace_all(double now) {
    for (int i = count - 1; i >= 0; i--) {
        Connection *c = open_connections[i];
        if (!c->streaming || c->pace == 0 || c->due > now) continue;
        c->due += 1.0 / (double)c->pace;
        if (!stream_on(c, 1)) leave(c);
        else if (c->pending > 0) watch(c, 1);
    }
}

static void welcome(int listener) {
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Connection *c = count < MOST ? calloc(1, sizeof *c) : NULL;
        if (c == NULL) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        c->fd = fd;
        open_connections[count++] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: upstream PORT CORE\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    stay_on(atoi(argv[2]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, MOST) < 0) fail("listen");
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    for (double last = 0;;) {
        int found = epoll_wait(poller, events, 512, paced ? 1 : -1);
        int asked = 0;
        for (int i = 0; i < found; i++) {
            Connection *c = events[i].data.ptr;
            if (c == NULL) asked = 1;
            else if (!serve(c, events[i].events)) leave(c);
        }
        if (asked) welcome(listener);
        double now = seconds_now();
        if (paced && now - last >= 0.001) pace_all(last = now);
    }
}
