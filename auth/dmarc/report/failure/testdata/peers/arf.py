# Reads a failure report with Python's email package, and says what it has of it.
import email
import email.policy
import sys

with open(sys.argv[1], "rb") as f:
    message = email.message_from_binary_file(f, policy=email.policy.default)

def defects(part, name):
    for defect in part.defects:
        print("defect of", name, repr(defect))
    for field, value in part.items():
        for defect in getattr(value, "defects", ()):
            print("defect of", name, field, repr(defect))

defects(message, "the message")
print("type", message.get_content_type(), message.get_param("report-type"))
for field in ("From", "To", "Auto-Submitted"):
    print(field, message[field])
for part in message.iter_parts():
    kind = part.get_content_type()
    defects(part, kind)
    print("part", kind)
    if kind == "message/feedback-report":  # which the package takes for a message
        fields = part.get_payload(0)
    elif kind == "text/rfc822-headers":
        fields = email.message_from_string(part.get_payload(), policy=email.policy.default)
    else:
        continue
    defects(fields, kind)
    if fields.get_payload():
        print("body in", kind, repr(fields.get_payload()))
    for field, value in fields.items():
        print(" ", field + ":", value)
