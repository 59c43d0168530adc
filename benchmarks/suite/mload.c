/* Load generator for SMTP and POP3: one thread, epoll, OpenSSL.
 *
 *   mload smtp      --port P [--tls none|starttls|implicit] [--auth] --n N --size B --conc C --per-conn K
 *   mload pop3      --port P [--tls ..] --steps stat,list,uidl,retr,dele --n SESSIONS --conc C
 *   mload handshake --port P --tls implicit --n N --conc C    (greeting, QUIT)
 *   mload idle      --port P --n N [--login]                  (prints a line when all are open, waits for EOF on stdin)
 *   mload e2e       --port SMTP --pop-port POP3 --n N         (from 250 to listed in POP3)
 *
 * --users FILE has an address and a password in each line. Each message carries X-Bench-Crc, the CRC32C of its body.
 * RETR computes it again, so that each changed message is counted. Sessions with TLS are never resumed.
 * The result is one JSON object on stdout.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ options */
enum { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };
enum { M_SMTP, M_POP3, M_HANDSHAKE, M_IDLE, M_E2E };
static int o_mode, o_port, o_popport, o_tls = TLS_NONE, o_poptls = TLS_NONE, o_auth, o_conc = 1,
    o_perconn = 1, o_u0, o_un = 1, o_login, o_pipeline, o_noverify;
static long o_n = 1, o_size = 4096;
static double o_timeout = 60, o_deadline = 0;
static const char *o_host = "127.0.0.1", *o_cafile, *o_users, *o_tlsver,
    *o_cipher, *o_runid = "r", *o_curves;
static int st_stat, st_list, st_uidl, st_retr, st_dele;
static char **u_name, **u_pass;
static int u_count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static void die(const char *f, ...) {
    va_list a;
    va_start(a, f);
    vfprintf(stderr, f, a);
    va_end(a);
    fputc('\n', stderr);
    exit(2);
}

/* ------------------------------------------------------------------- crc32c */
static uint32_t crc_tab[256];
static void crc_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        crc_tab[i] = c;
    }
}
#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t c, const unsigned char *p, size_t n) {
    uint64_t c64 = c;
    while (n >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        c64 = __builtin_ia32_crc32di(c64, v);
        p += 8;
        n -= 8;
    }
    c = (uint32_t)c64;
    while (n--) c = __builtin_ia32_crc32qi(c, *p++);
    return c;
}
#endif
static int have_hw;
static uint32_t crc(uint32_t c, const void *vp, size_t n) {
    const unsigned char *p = vp;
#if defined(__x86_64__)
    if (have_hw) return crc_hw(c, p, n);
#endif
    while (n--) c = crc_tab[(c ^ *p++) & 255] ^ (c >> 8);
    return c;
}

/* -------------------------------------------------------------- statistics */
static double *lat;
static long nlat, caplat;
static void rec(double v) {
    if (nlat == caplat) lat = realloc(lat, sizeof(double) * (caplat = caplat ? caplat * 2 : 4096));
    lat[nlat++] = v;
}
static int dcmp(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static double pct(double p) {
    if (!nlat) return 0;
    long i = (long)(p * (nlat - 1) + 0.5);
    return lat[i] * 1e3;
}
static long n_started, n_done, n_fail, n_ack, n_sent, n_msgs, n_retr, n_retr_bytes, n_crc_ok, n_crc_bad,
    n_crc_none, n_polls, n_list_lines, n_dele, n_connfail, n_popsess;
static char err_text[8][160];
static long err_cnt[8];
static void note_err(const char *f, ...) {
    char b[160];
    va_list a;
    va_start(a, f);
    vsnprintf(b, sizeof b, f, a);
    va_end(a);
    for (char *q = b; *q; q++)
        if (*q == '"' || *q == '\\' || (unsigned char)*q < 32) *q = ' ';
    for (int i = 0; i < 8; i++) {
        if (!err_cnt[i]) snprintf(err_text[i], sizeof err_text[i], "%s", b);
        if (!strncmp(err_text[i], b, 40)) {
            err_cnt[i]++;
            return;
        }
    }
    err_cnt[7]++;
}

/* ------------------------------------------------------------- connections */
typedef struct conn conn;
struct conn {
    int fd, pc, kind, live, want_out, slot;
    SSL *ssl;
    int hs; /* 0 no tls, 1 handshaking, 2 up */
    char *in;
    size_t ilen, ioff, icap, scan;
    char *out;
    size_t olen, ooff, ocap;
    const char *big; /* shared body, sent after out */
    size_t blen, boff;
    const char *tail;
    size_t tlen, toff;
    int eof;
    double t0, t1, tlast;
    long i, k, cnt, seq;
    int user, code, sent_in_conn;
    /* RETR parser */
    int inbody, hdr_crc_seen;
    uint32_t c, hdr_crc;
    size_t rbytes;
    int (*step)(conn *);
    char *line; /* current line (without CRLF), valid until the next get */
    size_t llen, lraw;
};
static int ep;
static SSL_CTX *ctx;
static conn **slots;
static int nslots;

static void out_add(conn *c, const char *f, ...) {
    va_list a;
    if (c->ooff == c->olen) c->ooff = c->olen = 0;
    for (;;) {
        size_t room = c->ocap - c->olen;
        va_start(a, f);
        int n = c->out ? vsnprintf(c->out + c->olen, room, f, a) : (int)room + 1;
        va_end(a);
        if (n >= 0 && (size_t)n < room) {
            c->olen += n;
            return;
        }
        c->out = realloc(c->out, c->ocap = c->ocap ? c->ocap * 2 : 1024);
    }
}
static void ep_set(conn *c, int out) {
    if (c->want_out == out) return;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->want_out = out;
}
/* raw write of one span: >0 bytes, 0 would block, -1 error */
static ssize_t wr(conn *c, const char *p, size_t n) {
    if (c->hs == 2) {
        if (n > 65536) n = 65536;
        ERR_clear_error();
        int r = SSL_write(c->ssl, p, (int)n);
        if (r > 0) return r;
        int e = SSL_get_error(c->ssl, r);
        return e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);
    if (r >= 0) return r;
    return errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
}
static int flush_out(conn *c) {
    ssize_t r;
    while (c->ooff < c->olen) {
        r = wr(c, c->out + c->ooff, c->olen - c->ooff);
        if (r < 0) return -1;
        if (!r) return ep_set(c, 1), 0;
        c->ooff += r;
    }
    while (c->boff < c->blen) {
        r = wr(c, c->big + c->boff, c->blen - c->boff);
        if (r < 0) return -1;
        if (!r) return ep_set(c, 1), 0;
        c->boff += r;
    }
    while (c->toff < c->tlen) {
        r = wr(c, c->tail + c->toff, c->tlen - c->toff);
        if (r < 0) return -1;
        if (!r) return ep_set(c, 1), 0;
        c->toff += r;
    }
    ep_set(c, 0);
    return 0;
}
static int do_hs(conn *c) {
    ERR_clear_error();
    int r = SSL_connect(c->ssl);
    if (r == 1) {
        c->hs = 2;
        ep_set(c, 0);
        return 1;
    }
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ) return ep_set(c, 0), 0;
    if (e == SSL_ERROR_WANT_WRITE) return ep_set(c, 1), 0;
    unsigned long x = ERR_peek_error();
    char b[120] = "eof/reset";
    if (x) ERR_error_string_n(x, b, sizeof b);
    note_err("tls handshake: %s", b);
    return -1;
}
static int start_tls(conn *c) {
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, "localhost");
    c->hs = 1;
    return do_hs(c);
}
/* read what is there, up to a bound, so that one fast peer does not starve the rest */
static int fill_in(conn *c) {
    if (c->ioff == c->ilen) c->ioff = c->ilen = c->scan = 0;
    for (int rounds = 0; rounds < 16; rounds++) {
        if (c->icap - c->ilen < 8192) {
            if (c->ioff > 0) {
                memmove(c->in, c->in + c->ioff, c->ilen - c->ioff);
                c->ilen -= c->ioff;
                c->scan -= c->ioff;
                c->ioff = 0;
            }
            if (c->icap - c->ilen < 8192)
                c->in = realloc(c->in, c->icap = c->icap ? c->icap * 2 : (o_mode == M_IDLE ? 9216 : 65536));
        }
        ssize_t r;
        size_t room = c->icap - c->ilen;
        if (c->hs == 2) {
            ERR_clear_error();
            r = SSL_read(c->ssl, c->in + c->ilen, (int)room);
            if (r <= 0) {
                int e = SSL_get_error(c->ssl, (int)r);
                if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return 0;
                c->eof = 1;
                return 0;
            }
        } else {
            r = recv(c->fd, c->in + c->ilen, room, 0);
            if (r < 0) {
                if (errno == EAGAIN) return 0;
                c->eof = 1;
                return 0;
            }
            if (r == 0) {
                c->eof = 1;
                return 0;
            }
            c->ilen += r;
            if ((size_t)r < room) return 0;
            continue;
        }
        c->ilen += r;
    }
    return 1; /* maybe more */
}
static int get_line(conn *c) {
    char *p = memchr(c->in + c->scan, '\n', c->ilen - c->scan);
    if (!p) {
        c->scan = c->ilen;
        return 0;
    }
    c->line = c->in + c->ioff;
    c->lraw = p + 1 - c->line;
    c->llen = p - c->line;
    if (c->llen && c->line[c->llen - 1] == '\r') c->llen--;
    c->ioff = c->scan = p + 1 - c->in;
    return 1;
}

#define BEGIN switch (c->pc) { case 0:
#define END }
/* wait for a condition; the step function is re-entered on every event */
#define AWAIT(cond)                     \
    do {                                \
        c->pc = __LINE__;               \
    /* fallthrough */                   \
    case __LINE__:                      \
        if (!(cond)) {                  \
            if (c->eof) return gone(c); \
            return 0;                   \
        }                               \
    } while (0)
static int gone(conn *c) {
    note_err("connection closed by server (pc line %d)", c->pc);
    return -1;
}
/* SMTP reply: 1 when the last line is in, code in c->code */
static int smtp_reply(conn *c) {
    while (get_line(c)) {
        if (c->llen >= 4 && c->line[3] == '-') continue;
        c->code = c->llen >= 3 ? atoi(c->line) : 0;
        return 1;
    }
    return 0;
}
static int bad(conn *c, const char *what) {
    note_err("%s: %.*s", what, (int)(c->llen > 100 ? 100 : c->llen), c->line);
    return -1;
}

/* -------------------------------------------------------------- SMTP client */
static char *body;
static size_t body_len;
static uint32_t body_crc;
/* A body of text lines, 7bit, some of which start with a dot (stuffed on the wire). */
static void make_body(long size) {
    size_t want = size > 400 ? size - 330 : 80; /* headers take about 330 bytes */
    body = malloc(want + want / 16 + 4096);
    uint64_t s = 88172645463325252ull;
    uint32_t c = 0xffffffffu;
    size_t logical = 0;
    long ln = 0;
    while (logical + 74 <= want) {
        char l[80];
        for (int i = 0; i < 72; i++) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            l[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[s & 63];
        }
        if (ln % 16 == 7) l[0] = '.';
        l[72] = '\r';
        l[73] = '\n';
        c = crc(c, l, 74);
        logical += 74;
        if (l[0] == '.') body[body_len++] = '.';
        memcpy(body + body_len, l, 74);
        body_len += 74;
        ln++;
    }
    body_crc = ~c;
}
static long msg_seq;
static void b64(const char *in, size_t n, char *o) {
    static const char t[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i = 0;
    for (; i < n; i += 3) {
        uint32_t v = (unsigned char)in[i] << 16 | (i + 1 < n ? (unsigned char)in[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned char)in[i + 2] : 0);
        *o++ = t[v >> 18];
        *o++ = t[v >> 12 & 63];
        *o++ = i + 1 < n ? t[v >> 6 & 63] : '=';
        *o++ = i + 2 < n ? t[v & 63] : '=';
    }
    *o = 0;
}
static void send_msg(conn *c) {
    char d[64];
    time_t t = time(0);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(d, sizeof d, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    out_add(c,
            "From: Bench <%s>\r\nTo: <%s>\r\nSubject: bench %ld\r\nDate: %s\r\n"
            "Message-ID: <%s.%ld@client.example>\r\nX-Bench-Id: %s.%ld\r\nX-Bench-Crc: %08x\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
            "Content-Transfer-Encoding: 7bit\r\n\r\n",
            o_auth ? u_name[c->user] : "bench@client.example", u_name[c->user], c->seq, d, o_runid, c->seq, o_runid, c->seq, body_crc);
    c->big = body;
    c->blen = body_len;
    c->boff = 0;
    c->tail = ".\r\n";
    c->tlen = 3;
    c->toff = 0;
}
static int smtp_next_seq(conn *c, int first) {
    if (!first && (msg_seq >= o_n || (o_deadline && now() > o_deadline))) return 0;
    c->seq = msg_seq++;
    c->user = o_u0 + (int)(c->seq % o_un);
    n_sent++;
    return 1;
}
static int smtp_step(conn *c) {
    BEGIN;
    if (o_tls == TLS_IMPLICIT) AWAIT(c->hs == 2);
    AWAIT(smtp_reply(c));
    if (c->code != 220) return bad(c, "greeting");
    out_add(c, "EHLO client.example\r\n");
    AWAIT(smtp_reply(c));
    if (c->code != 250) return bad(c, "EHLO");
    if (o_tls == TLS_STARTTLS) {
        out_add(c, "STARTTLS\r\n");
        AWAIT(smtp_reply(c));
        if (c->code != 220) return bad(c, "STARTTLS");
        if (start_tls(c) < 0) return -1;
        AWAIT(c->hs == 2);
        out_add(c, "EHLO client.example\r\n");
        AWAIT(smtp_reply(c));
        if (c->code != 250) return bad(c, "EHLO2");
    }
    if (o_auth) {
        char raw[300], enc[420];
        int n = snprintf(raw, sizeof raw, "%c%s%c%s", 0, u_name[c->user], 0, u_pass[c->user]);
        b64(raw, n, enc);
        out_add(c, "AUTH PLAIN %s\r\n", enc);
        AWAIT(smtp_reply(c));
        if (c->code != 235) return bad(c, "AUTH");
    }
    for (;;) {
        if (c->sent_in_conn) c->t1 = now();
        if (o_auth)
            out_add(c, "MAIL FROM:<%s>\r\n", u_name[c->user]);
        else
            out_add(c, "MAIL FROM:<bench@client.example>\r\n");
        if (o_pipeline) out_add(c, "RCPT TO:<%s>\r\nDATA\r\n", u_name[c->user]);
        AWAIT(smtp_reply(c));
        if (c->code != 250) return bad(c, "MAIL");
        if (!o_pipeline) out_add(c, "RCPT TO:<%s>\r\n", u_name[c->user]);
        AWAIT(smtp_reply(c));
        if (c->code != 250) return bad(c, "RCPT");
        if (!o_pipeline) out_add(c, "DATA\r\n");
        AWAIT(smtp_reply(c));
        if (c->code != 354) return bad(c, "DATA");
        send_msg(c);
        AWAIT(smtp_reply(c));
        if (c->code != 250) return bad(c, "end of data");
        n_ack++;
        c->tlast = now();
        rec(c->tlast - c->t1);
        c->sent_in_conn++;
        if (c->sent_in_conn >= o_perconn || !smtp_next_seq(c, 0)) break;
    }
    out_add(c, "QUIT\r\n");
    AWAIT(smtp_reply(c) || c->eof);
    return 1;
    END;
    return -1;
}

/* -------------------------------------------------------------- POP3 client */
static int pop_ok(conn *c) {
    if (!get_line(c)) return 0;
    c->code = c->llen >= 3 && !memcmp(c->line, "+OK", 3);
    return 1;
}
/* eat a multi-line answer; 1 at its end, c->cnt lines counted */
static int pop_multi(conn *c) {
    while (get_line(c)) {
        if (c->llen == 1 && c->line[0] == '.') return 1;
        c->cnt++;
    }
    return 0;
}
static int pop_retr(conn *c) {
    while (get_line(c)) {
        c->rbytes += c->lraw;
        if (c->llen && c->line[0] == '.') {
            if (c->llen == 1) return 1;
            c->line++;
            c->llen--;
            c->lraw--;
        }
        if (c->inbody)
            c->c = crc(c->c, c->line, c->lraw);
        else if (!c->llen)
            c->inbody = 1;
        else if (c->llen >= 13 && !strncasecmp(c->line, "X-Bench-Crc: ", 13)) {
            c->hdr_crc = strtoul(c->line + 13, 0, 16);
            c->hdr_crc_seen = 1;
        }
    }
    return 0;
}
static void retr_start(conn *c) {
    c->inbody = c->hdr_crc_seen = 0;
    c->c = 0xffffffffu;
    c->rbytes = 0;
}
static void retr_end(conn *c) {
    n_retr++;
    n_retr_bytes += c->rbytes;
    if (!c->hdr_crc_seen)
        n_crc_none++;
    else if (c->hdr_crc == (uint32_t)~c->c)
        n_crc_ok++;
    else
        n_crc_bad++;
}
static int pop_step(conn *c) {
    BEGIN;
    if (o_tls == TLS_IMPLICIT) AWAIT(c->hs == 2);
    AWAIT(pop_ok(c));
    if (!c->code) return bad(c, "greeting");
    if (o_mode == M_IDLE && !o_login) goto idle;
    if (o_mode != M_HANDSHAKE) {
        out_add(c, "USER %s\r\n", u_name[c->user]);
        AWAIT(pop_ok(c));
        if (!c->code) return bad(c, "USER");
        out_add(c, "PASS %s\r\n", u_pass[c->user]);
        AWAIT(pop_ok(c));
        if (!c->code) return bad(c, "PASS");
        if (o_mode == M_IDLE) {
        idle:
            n_done++;
            rec(now() - c->t0);
            AWAIT(0);
        }
        if (st_stat || st_retr || st_dele) {
            out_add(c, "STAT\r\n");
            AWAIT(pop_ok(c));
            if (!c->code) return bad(c, "STAT");
            c->k = atol(c->line + 4);
            n_msgs += c->k;
        }
        if (st_list) {
            out_add(c, "LIST\r\n");
            AWAIT(pop_ok(c));
            if (!c->code) return bad(c, "LIST");
            c->cnt = 0;
            AWAIT(pop_multi(c));
            n_list_lines += c->cnt;
            if (st_stat && c->cnt != c->k) note_err("LIST has %ld lines, STAT said %ld", c->cnt, c->k);
        }
        if (st_uidl) {
            out_add(c, "UIDL\r\n");
            AWAIT(pop_ok(c));
            if (!c->code) return bad(c, "UIDL");
            c->cnt = 0;
            AWAIT(pop_multi(c));
            if (st_stat && c->cnt != c->k) note_err("UIDL has %ld lines, STAT said %ld", c->cnt, c->k);
        }
        if (st_retr) {
            if (o_pipeline)
                for (long j = 1; j <= c->k; j++) out_add(c, "RETR %ld\r\n", j);
            for (c->i = 1; c->i <= c->k; c->i++) {
                if (!o_pipeline) out_add(c, "RETR %ld\r\n", c->i);
                AWAIT(pop_ok(c));
                if (!c->code) return bad(c, "RETR");
                retr_start(c);
                AWAIT(pop_retr(c));
                retr_end(c);
            }
        }
        if (st_dele) {
            if (o_pipeline)
                for (long j = 1; j <= c->k; j++) out_add(c, "DELE %ld\r\n", j);
            for (c->i = 1; c->i <= c->k; c->i++) {
                if (!o_pipeline) out_add(c, "DELE %ld\r\n", c->i);
                AWAIT(pop_ok(c));
                if (!c->code) return bad(c, "DELE");
                n_dele++;
            }
        }
    }
    out_add(c, "QUIT\r\n");
    AWAIT(pop_ok(c) || c->eof);
    if (!c->eof && !c->code) return bad(c, "QUIT");
    c->tlast = now();
    rec(c->tlast - c->t0);
    return 1;
    END;
    return -1;
}

/* E2E: one SMTP transaction, then POP3 sessions until the count grows */
static long e2e_count;
static double e2e_ack;
static int e2e_pop_step(conn *c) {
    BEGIN;
    if (o_poptls == TLS_IMPLICIT) AWAIT(c->hs == 2);
    AWAIT(pop_ok(c));
    if (!c->code) return bad(c, "greeting");
    out_add(c, "USER %s\r\n", u_name[o_u0]);
    AWAIT(pop_ok(c));
    if (!c->code) return bad(c, "USER");
    out_add(c, "PASS %s\r\n", u_pass[o_u0]);
    AWAIT(pop_ok(c));
    if (!c->code) return bad(c, "PASS");
    out_add(c, "STAT\r\n");
    AWAIT(pop_ok(c));
    if (!c->code) return bad(c, "STAT");
    c->k = atol(c->line + 4);
    c->tlast = now();
    out_add(c, "QUIT\r\n");
    AWAIT(pop_ok(c) || c->eof);
    return 1;
    END;
    return -1;
}

/* ------------------------------------------------------------------- engine */
static conn *conn_new(int port, int tls, int (*step)(conn *), int slot) {
    conn *c = slots[slot];
    if (!c) c = slots[slot] = calloc(1, sizeof *c);
    char *in = c->in, *out = c->out;
    size_t icap = c->icap, ocap = c->ocap;
    memset(c, 0, sizeof *c);
    c->in = in;
    c->icap = icap;
    c->out = out;
    c->ocap = ocap;
    c->slot = slot;
    c->step = step;
    c->t0 = c->t1 = c->tlast = now();
    if (!c->in) c->in = malloc(c->icap = (o_mode == M_IDLE ? 9216 : 65536));
    if (!c->out) c->out = malloc(c->ocap = 1024);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, o_host, &a.sin_addr);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    c->live = 1;
    if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) {
        note_err("connect: %s", strerror(errno));
        n_connfail++;
        close(c->fd);
        c->live = 0;
        return 0;
    }
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
    c->want_out = 1;
    if (tls == TLS_IMPLICIT) {
        c->ssl = SSL_new(ctx);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_tlsext_host_name(c->ssl, "localhost");
        c->hs = 1;
    }
    return c;
}
static void conn_close(conn *c) {
    if (c->ssl) {
        SSL_set_quiet_shutdown(c->ssl, 1);
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = 0;
    }
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->live = 0;
}
static int active;
/* the next mailbox, in turn, that no session of ours has open: a maildrop lock is then never our own doing */
static unsigned char *user_busy;
static int next_user(void) {
    if (!user_busy) user_busy = calloc(o_un, 1);
    int first = (int)((n_started - 1) % o_un), u = first;
    for (int j = 0; j < o_un && user_busy[u]; j++) u = (u + 1) % o_un;
    user_busy[u] = 1;
    return o_u0 + u;
}
static void launch(int slot) {
    for (;;) {
        if (o_deadline && now() > o_deadline) return;
        conn *c;
        if (o_mode == M_SMTP) {
            if (msg_seq >= o_n) return;
            c = conn_new(o_port, o_tls, smtp_step, slot);
            if (c) {
                smtp_next_seq(c, 1);
                active++;
                return;
            }
            msg_seq++;
            n_sent++;
            n_fail++;
        } else {
            if (n_started >= o_n) return;
            n_started++;
            c = conn_new(o_port, o_tls, pop_step, slot);
            if (c) {
                c->user = next_user();
                active++;
                return;
            }
            n_fail++;
        }
    }
}
/* drive one connection after an event; returns 0 to go on, else finished */
static int drive(conn *c, uint32_t ev) {
    if (ev & EPOLLERR) {
        int e = 0;
        socklen_t l = sizeof e;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e && c->pc == 0) {
            note_err("connect: %s", strerror(e));
            n_connfail++;
            return -1;
        }
        c->eof = 1;
    }
    if (c->hs == 1) {
        int r = do_hs(c);
        if (r < 0) return -1;
        if (r == 0) return 0;
    }
    for (;;) {
        int more = 0;
        if (c->hs != 1) more = fill_in(c);
        int r = c->step(c);
        if (r) return r;
        if (c->hs == 1) return 0;
        if (flush_out(c) < 0) {
            c->eof = 1;
            r = c->step(c);
            return r ? r : -1;
        }
        if (!more) break;
    }
    return 0;
}
static void finish(conn *c, int r) {
    int slot = c->slot;
    conn_close(c);
    active--;
    if (user_busy && c->user >= o_u0 && c->user < o_u0 + o_un) user_busy[c->user - o_u0] = 0;
    if (r > 0)
        n_done++;
    else
        n_fail++;
    if (o_mode != M_IDLE) launch(slot);
}
static void loop(int (*until)(void)) {
    struct epoll_event ev[512];
    double tcheck = now();
    while (active > 0 && !(until && until())) {
        int n = epoll_wait(ep, ev, 512, 500);
        for (int i = 0; i < n; i++) {
            conn *c = ev[i].data.ptr;
            if (!c) continue;
            if (!c->live) continue;
            c->tlast = o_mode == M_IDLE ? c->tlast : now();
            int r = drive(c, ev[i].events);
            if (r) finish(c, r);
        }
        double t = now();
        if (t - tcheck > 1 && o_mode != M_IDLE) {
            tcheck = t;
            for (int i = 0; i < nslots; i++) {
                conn *c = slots[i];
                if (c && c->live && t - c->tlast > o_timeout) {
                    note_err("timeout (pc line %d)", c->pc);
                    finish(c, -1);
                }
            }
        }
    }
}
static int idle_ready(void) { return n_done + n_fail >= o_n; }

static void run_one(conn *c) { /* e2e helper: drive a single connection to its end */
    struct epoll_event ev[16];
    double t = now();
    int r = 0;
    while (!r) {
        int n = epoll_wait(ep, ev, 16, 500);
        for (int i = 0; i < n && !r; i++)
            if (ev[i].data.ptr == c) r = drive(c, ev[i].events);
        if (now() - t > o_timeout) {
            note_err("timeout");
            r = -1;
        }
    }
    c->code = r;
    conn_close(c);
}
static void e2e(void) {
    slots = calloc(2, sizeof *slots);
    nslots = 2;
    double base_sum = 0;
    /* base count */
    conn *c = conn_new(o_popport, o_poptls, e2e_pop_step, 1);
    run_one(c);
    if (c->code < 0) die("e2e: cannot read the base count: %s", err_text[0]);
    e2e_count = c->k;
    for (long i = 0; i < o_n; i++) {
        o_perconn = 1;
        long saved_n = o_n;
        o_n = msg_seq + 1;
        c = conn_new(o_port, o_tls, smtp_step, 0);
        if (!c) break;
        smtp_next_seq(c, 1);
        c->user = o_u0;
        long before = nlat;
        run_one(c);
        o_n = saved_n;
        nlat = before;
        if (c->code < 0) {
            n_fail++;
            continue;
        }
        e2e_ack = c->tlast; /* tlast is the time of the 250 (set in smtp_step), QUIT came after */
        double stop = now() + o_timeout;
        for (;;) {
            double s = now();
            c = conn_new(o_popport, o_poptls, e2e_pop_step, 1);
            if (!c) break;
            run_one(c);
            n_polls++;
            base_sum += now() - s;
            if (c->code > 0 && c->k > e2e_count) {
                rec(c->tlast - e2e_ack);
                e2e_count = c->k;
                n_done++;
                break;
            }
            if (now() > stop) {
                note_err("not listed in time");
                n_fail++;
                break;
            }
        }
    }
    n_popsess = n_polls;
    fprintf(stderr, "mean POP3 poll %.3f ms\n", n_polls ? base_sum / n_polls * 1e3 : 0);
}

static void report(double wall) {
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    double cpu = ru.ru_utime.tv_sec + ru.ru_utime.tv_usec / 1e6 + ru.ru_stime.tv_sec + ru.ru_stime.tv_usec / 1e6;
    qsort(lat, nlat, sizeof *lat, dcmp);
    double sum = 0;
    for (long i = 0; i < nlat; i++) sum += lat[i];
    printf("{\"wall_s\":%.4f,\"acked\":%ld,\"sent\":%ld,\"sessions_ok\":%ld,\"failed\":%ld,\"connect_failed\":%ld,"
           "\"stat_msgs\":%ld,\"list_lines\":%ld,\"retr\":%ld,\"retr_bytes\":%ld,\"crc_ok\":%ld,\"crc_bad\":%ld,"
           "\"crc_missing\":%ld,\"deleted\":%ld,\"polls\":%ld,\"samples\":%ld,\"mean_ms\":%.4f,\"p50_ms\":%.4f,"
           "\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,\"client_cpu_s\":%.4f,\"wire_body\":%zu,\"errors\":[",
           wall, n_ack, n_sent, n_done, n_fail, n_connfail, n_msgs, n_list_lines, n_retr, n_retr_bytes, n_crc_ok,
           n_crc_bad, n_crc_none, n_dele, n_polls, nlat, nlat ? sum / nlat * 1e3 : 0, pct(.5), pct(.95), pct(.99),
           pct(1), cpu, body_len);
    int first = 1;
    for (int i = 0; i < 8; i++)
        if (err_cnt[i]) printf("%s{\"n\":%ld,\"what\":\"%s\"}", first ? "" : ",", err_cnt[i], err_text[i]), first = 0;
    printf("]}\n");
    fflush(stdout);
}

int main(int ac, char **av) {
    if (ac < 2) die("usage: mload smtp|pop3|handshake|idle|e2e --port P ...");
    const char *modes[] = {"smtp", "pop3", "handshake", "idle", "e2e"};
    o_mode = -1;
    for (int i = 0; i < 5; i++)
        if (!strcmp(av[1], modes[i])) o_mode = i;
    if (o_mode < 0) die("unknown mode %s", av[1]);
    for (int i = 2; i < ac; i++) {
        const char *a = av[i];
#define VAL (++i < ac ? av[i] : (die("%s needs a value", a), ""))
#define TLSV(v) (!strcmp(v, "implicit") ? TLS_IMPLICIT : !strcmp(v, "starttls") ? TLS_STARTTLS : TLS_NONE)
        if (!strcmp(a, "--port")) o_port = atoi(VAL);
        else if (!strcmp(a, "--pop-port")) o_popport = atoi(VAL);
        else if (!strcmp(a, "--host")) o_host = VAL;
        else if (!strcmp(a, "--tls")) { const char *v = VAL; o_tls = TLSV(v); }
        else if (!strcmp(a, "--pop-tls")) { const char *v = VAL; o_poptls = TLSV(v); }
        else if (!strcmp(a, "--tls-version")) o_tlsver = VAL;
        else if (!strcmp(a, "--cipher")) o_cipher = VAL;
        else if (!strcmp(a, "--curves")) o_curves = VAL;
        else if (!strcmp(a, "--cafile")) o_cafile = VAL;
        else if (!strcmp(a, "--no-verify")) o_noverify = 1;
        else if (!strcmp(a, "--users")) o_users = VAL;
        else if (!strcmp(a, "--u0")) o_u0 = atoi(VAL);
        else if (!strcmp(a, "--un")) o_un = atoi(VAL);
        else if (!strcmp(a, "--conc")) o_conc = atoi(VAL);
        else if (!strcmp(a, "--per-conn")) o_perconn = atoi(VAL);
        else if (!strcmp(a, "--n")) o_n = atol(VAL);
        else if (!strcmp(a, "--size")) o_size = atol(VAL);
        else if (!strcmp(a, "--runid")) o_runid = VAL;
        else if (!strcmp(a, "--timeout")) o_timeout = atof(VAL);
        else if (!strcmp(a, "--max-time")) o_deadline = now() + atof(VAL);
        else if (!strcmp(a, "--auth")) o_auth = 1;
        else if (!strcmp(a, "--login")) o_login = 1;
        else if (!strcmp(a, "--pipeline")) o_pipeline = 1;
        else if (!strcmp(a, "--steps")) {
            const char *s = VAL;
            st_stat = !!strstr(s, "stat");
            st_list = !!strstr(s, "list");
            st_uidl = !!strstr(s, "uidl");
            st_retr = !!strstr(s, "retr");
            st_dele = !!strstr(s, "dele");
        } else die("unknown option %s", a);
    }
    signal(SIGPIPE, SIG_IGN);
    crc_init();
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_hw = __builtin_cpu_supports("sse4.2");
#endif
    if (o_users) {
        FILE *f = fopen(o_users, "r");
        char n[200], p[200];
        if (!f) die("%s: %s", o_users, strerror(errno));
        while (fscanf(f, "%199s %199s", n, p) == 2) {
            u_name = realloc(u_name, sizeof(char *) * (u_count + 1));
            u_pass = realloc(u_pass, sizeof(char *) * (u_count + 1));
            u_name[u_count] = strdup(n);
            u_pass[u_count++] = strdup(p);
        }
        fclose(f);
        if (o_u0 + o_un > u_count) die("users %d..%d wanted, %d given", o_u0, o_u0 + o_un - 1, u_count);
    }
    if (o_mode == M_SMTP || o_mode == M_E2E) make_body(o_size);
    if (o_tls || o_poptls) {
        ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
        if (o_tlsver) {
            int v = !strcmp(o_tlsver, "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION;
            SSL_CTX_set_min_proto_version(ctx, v);
            SSL_CTX_set_max_proto_version(ctx, v);
        }
        if (o_cipher && SSL_CTX_set_cipher_list(ctx, o_cipher) != 1) die("cipher %s", o_cipher);
        if (o_curves && SSL_CTX_set1_curves_list(ctx, o_curves) != 1) die("curves %s", o_curves);
        if (o_cafile && !o_noverify) {
            if (SSL_CTX_load_verify_locations(ctx, o_cafile, 0) != 1) die("cafile %s", o_cafile);
            SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, 0);
        }
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    double t = now();
    if (o_mode == M_E2E) {
        e2e();
        report(now() - t);
        return 0;
    }
    if (o_mode == M_IDLE) {
        /* ramp up with at most o_conc connections in the opening phase */
        slots = calloc(o_n, sizeof *slots);
        nslots = (int)o_n;
        double stop = now() + o_timeout;
        struct epoll_event ev[512];
        while (n_done + n_fail < o_n && now() < stop) {
            while (n_started < o_n && n_started - n_done - n_fail < o_conc) {
                int s = (int)n_started++;
                conn *c = conn_new(o_port, o_tls, pop_step, s);
                if (!c) {
                    n_fail++;
                    continue;
                }
                c->user = o_u0 + s % o_un;
                active++;
            }
            int n = epoll_wait(ep, ev, 512, 100);
            for (int i = 0; i < n; i++) {
                conn *c = ev[i].data.ptr;
                if (!c->live) continue;
                int r = drive(c, ev[i].events);
                if (r) finish(c, r);
            }
        }
        (void)idle_ready;
        long lost0 = n_fail;
        printf("{\"event\":\"ready\",\"open\":%d,\"failed\":%ld,\"ramp_s\":%.3f}\n", active, n_fail, now() - t);
        fflush(stdout);
        /* hold: wait for stdin EOF, notice closed ones */
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = 0};
        int pipe_ok = epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e) == 0;
        for (int go = 1; go;) {
            int n = epoll_wait(ep, ev, 512, pipe_ok ? 1000 : 100);
            for (int i = 0; i < n; i++) {
                conn *c = ev[i].data.ptr;
                if (!c) {
                    char b[64];
                    if (read(0, b, sizeof b) <= 0) go = 0;
                    continue;
                }
                if (!c->live) continue;
                int r = drive(c, ev[i].events);
                if (r) finish(c, r);
            }
        }
        printf("{\"event\":\"end\",\"open\":%d,\"lost_while_idle\":%ld}\n", active, n_fail - lost0);
        report(now() - t);
        return 0;
    }
    if (o_conc > o_n) o_conc = (int)o_n;
    nslots = o_conc;
    slots = calloc(nslots, sizeof *slots);
    for (int i = 0; i < nslots; i++) launch(i);
    loop(0);
    report(now() - t);
    return 0;
}
