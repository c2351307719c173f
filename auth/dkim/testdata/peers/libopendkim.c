#include <sys/types.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <opendkim/dkim.h>

static char *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *buf;

	if (f == NULL)
		exit(2);
	fseek(f, 0, SEEK_END);
	*len = ftell(f);
	rewind(f);
	buf = malloc(*len + 1);
	if (fread(buf, 1, *len, f) != *len)
		exit(2);
	buf[*len] = '\0';
	fclose(f);
	return buf;
}

static dkim_canon_t canon(const char *s)
{
	return strcmp(s, "simple") == 0 ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED;
}

int main(int argc, char **argv)
{
	char path[4096];
	const char *folder = argv[2];
	bool verify = strcmp(argv[1], "verify") == 0;
	int times = strcmp(argv[1], "time") == 0 ? atoi(argv[3]) : 1;
	dkim_query_t method = DKIM_QUERY_FILE;
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	struct dirent *entry;
	DIR *dir = opendir(folder);

	if (argc < 3 || lib == NULL || dir == NULL)
		return 2;
	verify = verify || times > 1;
	snprintf(path, sizeof path, "%s/zone", folder);
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_QUERYMETHOD, &method, sizeof method);
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_QUERYINFO, path, strlen(path));
	while ((entry = readdir(dir)) != NULL) {
		char *dot = strrchr(entry->d_name, '.');
		char *message, *key;
		size_t len, keylen;
		DKIM_STAT st;
		DKIM *d;

		if (dot == NULL || strcmp(dot, ".eml") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		message = slurp(path, &len);
		*dot = '\0';
		if (verify) {
			struct timespec begin, end;

			clock_gettime(CLOCK_MONOTONIC, &begin);
			for (int i = 0; i < times; i++) {
				d = dkim_verify(lib, (u_char *) "x", NULL, &st);
				st = dkim_chunk(d, (u_char *) message, len);
				if (st == DKIM_STAT_OK)
					st = dkim_chunk(d, NULL, 0);
				if (st == DKIM_STAT_OK)
					st = dkim_eom(d, NULL);
				if (i + 1 < times)
					dkim_free(d);
			}
			clock_gettime(CLOCK_MONOTONIC, &end);
			if (times > 1)
				printf("%ld ", (long) ((end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec));
			printf("%s %s", entry->d_name, st == DKIM_STAT_OK ? "pass" : dkim_getresultstr(st));
			if (st != DKIM_STAT_OK && dkim_getsignature(d) != NULL)
				printf(": %s", dkim_sig_geterrorstr(dkim_sig_geterror(dkim_getsignature(d))));
			printf("\n");
		} else {
			FILE *out;
			u_char *field;
			size_t flen;

			snprintf(path, sizeof path, "%s/key.pem", folder);
			key = slurp(path, &keylen);
			d = dkim_sign(lib, (u_char *) "x", NULL, (dkim_sigkey_t) key, (u_char *) argv[6], (u_char *) argv[5],
			              canon(argv[3]), canon(argv[4]), DKIM_SIGN_RSASHA256, -1, &st);
			if (d == NULL)
				return 3;
			st = dkim_chunk(d, (u_char *) message, len);
			if (st == DKIM_STAT_OK)
				st = dkim_chunk(d, NULL, 0);
			if (st == DKIM_STAT_OK)
				st = dkim_eom(d, NULL);
			if (st == DKIM_STAT_OK)
				st = dkim_getsighdr_d(d, strlen("DKIM-Signature: "), &field, &flen);
			if (st == DKIM_STAT_OK) {
				snprintf(path, sizeof path, "%s/%s.signed", folder, entry->d_name);
				out = fopen(path, "wb");
				fprintf(out, "DKIM-Signature: %s\r\n", field);
				fwrite(message, 1, len, out);
				fclose(out);
			} else {
				printf("%s %s\n", entry->d_name, dkim_getresultstr(st));
			}
			free(key);
		}
		dkim_free(d);
		free(message);
	}
	return 0;
}
