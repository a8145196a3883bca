import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Base64;

/**
 * The JDK's HttpClient, as it is, which asks for h2c with every request, and in HTTP/1.1 alone. Arguments are name=URL;
 * every exchange prints one line of JSON.
 *
 * Not here: what is right; test_clients.py knows that. And a body that is refused instead of 100: the HttpClient of JDK
 * 17 then waits for ever, whatever server it is.
 */
public final class Client {
    private static final byte[] BODY = "{\"email\":\"you@example.com\"}".getBytes();
    private static final byte[] LARGE = "x".repeat(500_000).getBytes();
    private static final String LINE =
        "{\"client\":\"%s\",\"target\":\"%s\",\"exchange\":\"%s\",\"status\":%d,\"type\":\"%s\",\"body\":\"%s\"}%n";

    private final String name;
    private final HttpClient http;
    private final String target;
    private final String url;

    private Client(String name, HttpClient http, String target, String url) {
        this.name = name;
        this.http = http;
        this.target = target;
        this.url = url;
    }

    public static void main(String[] targets) {
        for (String given : targets) {
            String[] pair = given.split("=", 2);
            HttpClient plain = HttpClient.newBuilder().version(Version.HTTP_1_1).build();
            new Client("jdk", HttpClient.newHttpClient(), pair[0], pair[1]).run();
            new Client("jdk-http1.1", plain, pair[0], pair[1]).run();
        }
    }

    private void run() {
        send("signin", post(BodyPublishers.ofByteArray(BODY)));
        send("again", to("/healthz").GET());
        send("head", to("/healthz").method("HEAD", BodyPublishers.noBody()));
        send("chunked", post(chunked(BODY)));
        send("large", post(BodyPublishers.ofByteArray(LARGE)));
        send("large-chunked", post(chunked(LARGE)));
        send("after", to("/healthz").GET());
        send("expect", post(BodyPublishers.ofByteArray(BODY)).expectContinue(true));
        send("empty", post(BodyPublishers.noBody()));
    }

    /** A stream has no length, so that it is sent chunked. */
    private static BodyPublisher chunked(byte[] body) {
        return BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
    }

    private HttpRequest.Builder to(String path) {
        return HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(5));
    }

    private HttpRequest.Builder post(BodyPublisher body) {
        return to("/api/v1/signin").header("Content-Type", "application/json").POST(body);
    }

    private void send(String exchange, HttpRequest.Builder request) {
        int status = 0;
        String type;
        byte[] body = new byte[0];
        try {
            HttpResponse<byte[]> answer = http.send(request.build(), BodyHandlers.ofByteArray());
            status = answer.statusCode();
            type = answer.headers().firstValue("content-type").orElse("");
            body = answer.body();
        } catch (Exception error) {
            type = error.toString().replaceAll("[^ -~]|[\"\\\\]", "'");
        }
        System.out.printf(LINE, name, target, exchange, status, type, Base64.getEncoder().encodeToString(body));
    }
}
