import glob, os, sys
import dkim

folder = sys.argv[1]
zone = dict(line.rstrip("\n").split(" ", 1) for line in open(os.path.join(folder, "zone")))


def txt(name, timeout=5):
    return zone.get(name.decode().rstrip("."), "").encode() or None


for path in sorted(glob.glob(os.path.join(folder, "*.eml"))):
    message = open(path, "rb").read()
    name = os.path.basename(path)[:-4]
    try:
        if len(sys.argv) > 2:
            domain = sys.argv[2].encode()
            key = open(os.path.join(folder, "key.pem"), "rb").read()
            fields = dkim.arc_sign(message, b"s1", domain, key, domain, include_headers=[b"from", b"to", b"subject"])
            with open(os.path.join(folder, name + ".sealed"), "wb") as out:
                out.write(b"".join(fields) + message)
            print(name, "sealed" if fields else "refused")
        else:
            cv, _, why = dkim.arc_verify(message, dnsfunc=txt)
            print(name, (cv or b"ended").decode(), why)
    except Exception as e:
        print(name, "error", repr(e))
