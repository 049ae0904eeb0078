package docs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// manifests are the objects of docs/kubernetes.md.
type manifests struct {
	secret     core.Secret
	config     core.ConfigMap
	deployment apps.Deployment
	service    core.Service
	budget     policy.PodDisruptionBudget
}

// readManifests reads a file as the API server does that validates strictly: an unknown or
// repeated field is an error.
func readManifests(t *testing.T, text string) *manifests {
	t.Helper()
	m := new(manifests)
	missing := map[string]any{
		"v1 Secret": &m.secret, "v1 ConfigMap": &m.config, "apps/v1 Deployment": &m.deployment,
		"v1 Service": &m.service, "policy/v1 PodDisruptionBudget": &m.budget,
	}
	for _, object := range strings.Split(text, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(object), &head); err != nil {
			t.Fatal(err)
		}
		name := head.APIVersion + " " + head.Kind
		into, ok := missing[name]
		if !ok {
			t.Fatalf("%s is unknown, or there twice", name)
		}
		delete(missing, name)
		if err := yaml.UnmarshalStrict([]byte(object), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name := range missing {
		t.Fatalf("there is no %s", name)
	}
	return m
}

func TestKubernetesFitsItsCaddyfile(t *testing.T) {
	const page = "docs/kubernetes.md"
	m := readManifests(t, blockIn(t, page, "cache.yaml"))
	caddyfile := m.config.Data["Caddyfile"]
	config := readDeployed(t, caddyfile)
	dockerfile := readPage(t, "xcaddy.Dockerfile")
	pod := &m.deployment.Spec.Template
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Spec.Containers))
	}
	c := &pod.Spec.Containers[0]

	// Names that lead to one another.
	if got := slices.Sorted(maps.Keys(m.secret.StringData)); !slices.Equal(got, config.env) || len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef.Name != m.secret.Name {
		t.Errorf("the secret has %v, the Caddyfile reads %v", got, config.env)
	}
	for what, selector := range map[string]map[string]string{
		"deployment": m.deployment.Spec.Selector.MatchLabels, "service": m.service.Spec.Selector, "budget": m.budget.Spec.Selector.MatchLabels,
		"spread": pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if !maps.Equal(selector, pod.Labels) || len(selector) == 0 {
			t.Errorf("the %s selects %v, the pods have %v", what, selector, pod.Labels)
		}
	}
	volumes := make(map[string]core.Volume)
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = v
	}
	mounted := make(map[string]core.Volume)
	for _, at := range c.VolumeMounts {
		v, ok := volumes[at.Name]
		if !ok {
			t.Errorf("there is no volume %s", at.Name)
		}
		mounted[at.MountPath] = v
		delete(volumes, at.Name)
	}
	if len(volumes) != 0 {
		t.Errorf("nobody mounts %v", volumes)
	}
	_, file, _ := strings.Cut(dockerfile, `"--config", "`)
	file, _, _ = strings.Cut(file, `"`)
	if v := mounted[path.Dir(file)].ConfigMap; v == nil || v.Name != m.config.Name || m.config.Data[path.Base(file)] == "" {
		t.Errorf("the image reads %s, and mounted are %+v", file, mounted)
	}
	for _, folder := range []string{"/data", "/config"} {
		if mounted[folder].EmptyDir == nil {
			t.Errorf("Caddy cannot write into %s", folder)
		}
	}

	// Ports.
	named, listed := make(map[string]string), make(map[string]bool)
	for _, p := range c.Ports {
		named[p.Name] = fmt.Sprint(p.ContainerPort)
		listed[fmt.Sprint(p.ContainerPort)] = true
	}
	if !maps.Equal(listed, config.ports) {
		t.Errorf("the container has the ports %v, the Caddyfile listens on %v", listed, config.ports)
	}
	if p := m.service.Spec.Ports; len(p) != 1 || p[0].TargetPort.String() != "http" || p[0].Port != 80 || named["http"] == "" {
		t.Errorf("the service has %+v", p)
	}

	// Rights.
	s := pod.Spec.SecurityContext
	if user := fmt.Sprintf("USER %d:%d\n", *s.RunAsUser, *s.RunAsGroup); !*s.RunAsNonRoot || !strings.Contains(dockerfile, user) {
		t.Errorf("the image has another user than %s", user)
	}
	if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || s.Capabilities.Add != nil {
		t.Errorf("the container may more than it needs: %+v", s)
	}

	// Times and sizes.
	if grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace <= config.stopTime() {
		t.Errorf("terminationGracePeriodSeconds is %s, Caddy takes %s", grace, config.stopTime())
	}
	ready, live := c.ReadinessProbe, c.LivenessProbe
	if notices := time.Duration(ready.PeriodSeconds*ready.FailureThreshold) * time.Second; config.shutdownDelay <= notices {
		t.Errorf("shutdown_delay is %s, and the probe fails after %s", config.shutdownDelay, notices)
	}
	h := config.caches[0]
	needed, limit := neededByCaddy(t), c.Resources.Limits.Memory().Value()
	if limit < needed*mebibyte || c.Resources.Requests.Memory().Value() != limit || h.LocalMaxBytes != nil || h.MaxQueueBytes != nil ||
		!strings.Contains(readPage(t, page), fmt.Sprintf("A pod needs [about %d MiB]", needed)) {
		t.Errorf("Caddy needs %d MiB, and its limit is %d bytes", needed, limit)
	}
	if needed := neededByRedis(t, int64(*h.MaxKeys), int64(*h.MaxBytes), 64); 512*2 < 3*needed {
		t.Errorf("Redis needs %d MiB", needed)
	}
	if m.budget.Spec.MinAvailable.IntValue() >= int(*m.deployment.Spec.Replicas) {
		t.Error("no pod may ever be evicted")
	}

	// The site answers the probes, and Prometheus.
	server := redistest.Start(t)
	site := runSite(t, patient(caddyfile), "REDIS_URL="+server.URL())
	url := func(port, path string) string { return "GET http://10.0.0.1:" + port + path }
	probe := func(p *core.Probe, status int, has string) {
		t.Helper()
		port := p.HTTPGet.Port.String()
		if port != "http" {
			t.Errorf("a probe asks the port %s, which clients do not use", port)
		}
		site.visit(t, visit{p.HTTPGet.Path, url(named[port], p.HTTPGet.Path), status, has})
	}
	probe(ready, 200, `"ready":true`)
	probe(live, 200, `"live":true`)
	site.visit(t, visit{"the cache", url(named["http"], "/cache/k"), 404, absent})
	annotations := pod.Annotations
	site.visit(t, visit{"metrics", url(annotations["prometheus.io/port"], annotations["prometheus.io/path"]), 200, "caddy_redis_proxy_keys{"})
	server.Kill()
	deadline := time.Now().Add(patience)
	for { // an answer is reused for a second
		resp, err := site.client.Get(site.ports.replace("http://10.0.0.1:8080" + ready.HTTPGet.Path))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the pod is ready though Redis is down")
		}
		time.Sleep(20 * time.Millisecond)
	}
	probe(live, 200, `"live":true`) // an outage of Redis restarts no pod
}
