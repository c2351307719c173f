import glob, os, sys
import dkim

folder = sys.argv[1]
zone = dict(line.rstrip("\n").split(" ", 1) for line in open(os.path.join(folder, "zone")))


def txt(name, timeout=5):
    return zone.get(name.decode().rstrip("."), "").encode() or None


for path in sorted(glob.glob(os.path.join(folder, "*.eml"))):
    message = open(path, "rb").read()
    name = os.path.basename(path)[:-4]
    if len(sys.argv) > 2:
        key = open(os.path.join(folder, "key.pem"), "rb").read()
        fields = dkim.arc_sign(message, b"s1", b"example.org", key, b"lists.example.org", include_headers=[b"from", b"to", b"subject"])
        with open(os.path.join(folder, name + ".sealed"), "wb") as out:
            out.write(b"".join(fields) + message)
        continue
    cv, _, why = dkim.arc_verify(message, dnsfunc=txt)
    print(name, cv.decode(), why)
