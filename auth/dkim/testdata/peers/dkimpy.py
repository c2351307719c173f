import glob, os, sys, time
import dkim

mode, folder = sys.argv[1:3]
zone = {}
with open(os.path.join(folder, "zone"), "rb") as f:
    for line in f:
        name, text = line.rstrip(b"\n").split(b" ", 1)
        zone[name.decode() + "."] = text


def lookup(name, timeout=5):
    if isinstance(name, bytes):
        name = name.decode()
    return zone.get(name)


for path in sorted(glob.glob(os.path.join(folder, "*.eml"))):
    with open(path, "rb") as f:
        message = f.read()
    if mode == "verify":
        try:
            result = "pass" if dkim.DKIM(message).verify(dnsfunc=lookup) else "fail"
        except Exception as e:
            result = "error: " + str(e)
        print(os.path.basename(path)[:-4], result)
        continue
    if mode == "time":
        begin = time.monotonic_ns()
        for _ in range(int(sys.argv[3])):
            ok = dkim.DKIM(message).verify(dnsfunc=lookup)
        print(time.monotonic_ns() - begin, "pass" if ok else "fail")
        continue
    header, body, domain, selector = (s.encode() for s in sys.argv[3:7])
    with open(os.path.join(folder, "key.pem"), "rb") as f:
        key = f.read()
    field = dkim.sign(message, selector, domain, key, canonicalize=(header, body))
    with open(path[:-4] + ".signed", "wb") as f:
        f.write(field + message)
